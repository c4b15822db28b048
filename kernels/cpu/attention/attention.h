// softmax(scale * q @ k.T [soft cap] [+ bias]) @ v without the matrix of scores (arXiv:2205.14135).
//
// Queries stand in lanes: 48 of them are a panel, stored with a row of 48 floats an element of the
// head, so that maxima, sums and exponentials of the softmax are vector operations without a
// horizontal step. Scores of a block of keys are [key][lane]; results are [element][lane] and are
// turned back once, at the end. Products take elements of keys and values one by one (broadcast),
// which therefore need no packing; they are copied to consecutive rows only if several panels use
// them, against sets of the cache that collide at strides of 4096 bytes.
//
// Scores are kept in base 2: log2(e) is part of the factor on the queries.
#pragma once

#include <cstdint>
#include <vector>

#include "tiles.h"

namespace hf::attention {

constexpr int LANES = 48;           // queries of a panel
constexpr int PANELS = 4;           // panels that share a pass over the keys
constexpr int WIDTH = LANES * PANELS;
constexpr int KEYS = 64;            // keys of a block
constexpr float LOG2E = 1.44269504f;

// A tensor [batch, head, row, element] with consecutive elements.
struct View {
  float* data;
  int64_t batch, head, row;

  float* at(int64_t b, int64_t h, int64_t r) const { return data + b * batch + h * head + r * row; }
};

// Queries and keys that see each other: a row of a batch, or one packed sample.
struct Sequence {
  int64_t batch, first_query, queries, first_key, keys;
};

// What one call computes; mirrored in __init__.py.
struct Attention {
  View q, k, v;
  // Added to the scores, [batch, head, query, key] counted within the sequence; nullptr if none.
  // A `row` of 0 is a bias of the keys alone.
  View bias;
  const uint8_t* seen;  // [batch, key], 0 hides a key; nullptr if all are seen
  int64_t seen_batch, seen_key;
  const Sequence* sequences;
  int64_t count;
  int64_t heads, kv_heads, size, value_size, rows;
  // Query i of a sequence stands at i + offset, key j at j. Window 0 is none.
  int64_t offset, window;
  float scale, softcap;  // softcap 0 is none
  int32_t causal;

  float factor() const { return softcap > 0 ? scale / softcap : scale * LOG2E; }
};

// Panels of one key/value head, and what they cost in pairs of query and key.
struct Unit {
  int64_t sequence, kv_head, first_panel;
  int panels;
  int64_t cost;
};

struct Panel {
  int lanes, vectors;           // in use; of NW floats, whole 16s
  bool one_head;
  int64_t first, last;          // positions of the lanes' queries
  int64_t begin, end;           // keys that some lane may see
  alignas(64) int32_t position[LANES];
  int64_t head[LANES], row[LANES];
};

// The list of all units; keys hidden at the ends of a sequence are left out.
class Plan {
 public:
  explicit Plan(const Attention& a);

  Panel panel(const Unit& unit, int index) const;

  const Attention& a;
  std::vector<Unit> units;

 private:
  void add(int64_t sequence);

  struct Seen {
    int64_t begin, end;
  };
  std::vector<Seen> seen_;
};

inline int64_t padded(int64_t size) { return (size + 15) / 16 * 16; }

// Scores of keys [begin, end) into s[(j - begin) * ld + lane]: base 2, biased, hidden ones -inf.
// `panel_q` is [size][LANES] times a.factor(); keys begin at `k`, `k_row` apart. `spare` holds
// KEYS * LANES floats. With a softcap, `slope` (unless nullptr) gets its derivative, like s.
void scores(const Attention& a, const Sequence& sequence, const Panel& panel, const float* panel_q,
            const float* k, int64_t k_row, int64_t begin, int64_t end, float* s, int64_t ld,
            float* slope, float* spare);

// Rows of a panel: pointers into a view for each lane.
inline void lanes_of(const View& view, const Sequence& s, const Panel& p, const float** rows) {
  for (int i = 0; i < p.lanes; ++i) rows[i] = view.at(s.batch, p.head[i], s.first_query + p.row[i]);
}

// Copy rows of keys or values to consecutive ones of `size` floats; the `further` rows behind them
// are wanted next, and strides hide this from the processor.
inline void copy_rows(const float* from, int64_t stride, int64_t count, int64_t size, float* to,
                      int64_t further) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * size, from + i * stride, size * 4);
  from += count * stride;
  for (int64_t i = 0; i < further; ++i) {
    for (int64_t t = 0; t < size; t += 16) __builtin_prefetch(from + i * stride + t, 0, 2);
  }
}

// Memory of a thread, 64-byte aligned and cut into pieces.
class Arena {
 public:
  explicit Arena(int64_t floats) : memory_(new (std::align_val_t(64)) float[floats]), left_(floats) {
    next_ = memory_;
  }
  ~Arena() { operator delete[](memory_, std::align_val_t(64)); }
  Arena(const Arena&) = delete;

  float* take(int64_t floats) {
    floats = padded(floats);
    float* piece = next_;
    next_ += floats;
    left_ -= floats;
    if (left_ < 0) __builtin_trap();
    return piece;
  }

 private:
  float* memory_;
  float* next_;
  int64_t left_;
};

}  // namespace hf::attention
