// The kinds of weights: how 64 columns of a row are read, and how a row is widened to float32.
//
// An integer kind gives 64 unsigned bytes u and a scale for each of the 16 lanes that
// `dot_offset` sums them into: w = scale * (u - OFFSET), or w = scale * u - minimum, with minima that
// a product takes from each block or from the row as a whole.
#pragma once

#include "integer.h"
#include "matrix.h"

namespace hf {

enum Minima { NONE, OF_BLOCK, OF_ROW };

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};
inline vf widen(const float* p) { return load(p); }
inline vf widen(const bf16* p) { return load_bf16(&p->bits); }
inline vf widen(const f16* p) { return load_f16(&p->bits); }
inline float widen1(float x) { return x; }
inline float widen1(bf16 x) { return from_bf16(x.bits); }
inline float widen1(f16 x) { return from_f16(x.bits); }

template <class T>
struct Floating {
  typedef T Element;
  static constexpr bool INTEGER = false;
  static int64_t bytes(const Matrix& w) { return w.cols * static_cast<int64_t>(sizeof(T)); }

  static void row(const Matrix& w, int64_t row, float* out) {
    const T* p = static_cast<const T*>(w.data) + row * w.cols;
    int64_t k = 0;
    for (; k + W <= w.cols; k += W) store(out + k, widen(p + k));
    for (; k < w.cols; ++k) out[k] = widen1(p[k]);
  }
};

// What integer kinds share. K is the kind; `Row` reads one row from its start, 64 columns a time.
template <class K>
struct Integer {
  static constexpr bool INTEGER = true;

  // The values themselves, from what a product reads.
  static void row(const Matrix& w, int64_t row, float* out) {
    typename K::Row r(w, row);
    for (int64_t k = 0; k < w.cols; k += 64) {
      if (k % K::STEP == 0) r.begin(k);
      int j = static_cast<int>(k % K::STEP / 64);
      vub u = r.weights(k, j);
      vf s = r.scale(k, j);
      // w = scale * (u - zero) - least
      vf z = splat(static_cast<float>(K::OFFSET)), l{};
      if constexpr (K::MINIMA == OF_ROW) z = r.zero();
      if constexpr (K::MINIMA == OF_BLOCK) l = r.minimum(j);
      float scale[W], zero[W], least[W];
      store(scale, s), store(zero, z), store(least, l);
      int64_t here = w.cols - k < 64 ? w.cols - k : 64;
      for (int64_t i = 0; i < here; ++i) out[k + i] = scale[i / 4] * (u[i] - zero[i / 4]) - least[i / 4];
    }
  }
};

// Which groups the 64 columns at hand belong to: two of 32 columns, or one of more, whose size is a
// power of two or the whole row. (Shifted, since a division costs more than all the rest.)
struct Groups {
  Groups() = default;
  explicit Groups(const Matrix& w) : shift(w.group == w.cols ? 62 : __builtin_ctz(w.group)) {}
  void begin(int64_t k) { at = k >> shift; }
  template <class T>
  vf pair(const T* v) const {
    return shift > 5 ? splat(v[at]) : hf::pair(v[at], v[at + 1]);
  }
  int32_t shift = 0;
  int64_t at = 0;
};

struct Int8 : Integer<Int8> {
  static constexpr int OFFSET = 128, STEP = 64;
  static constexpr Minima MINIMA = NONE;
  static int64_t bytes(const Matrix& w) { return w.cols; }

  struct Row {
    Row() = default;
    Row(const Matrix& w, int64_t row)
        : p(static_cast<const uint8_t*>(w.data) + row * w.cols),
          scales(w.scales + row * (w.cols / w.group)), groups(w) {}
    void begin(int64_t k) { groups.begin(k); }
    vub weights(int64_t k, int) const { return load_as<vub>(p + k) ^ 128; }
    vf scale(int64_t, int) const { return groups.pair(scales); }
    const uint8_t* p;
    const float* scales;
    Groups groups;
  };
};

// Two in a byte: of each 64 columns, the first 32 in the low halves.
struct Int4 : Integer<Int4> {
  static constexpr int OFFSET = 0, STEP = 64;
  static constexpr Minima MINIMA = OF_ROW;
  static int64_t bytes(const Matrix& w) { return w.cols / 2; }

  struct Row {
    Row() = default;
    Row(const Matrix& w, int64_t row)
        : p(static_cast<const uint8_t*>(w.data) + row * w.cols / 2),
          scales(w.scales + row * (w.cols / w.group)),
          zeros(w.zeros ? w.zeros + row * (w.cols / w.group) : nullptr),
          groups(w), count(w.cols / w.group) {}
    void begin(int64_t k) { groups.begin(k); }
    vub weights(int64_t k, int) const { return nibbles(p + k / 2); }
    vf scale(int64_t, int) const { return groups.pair(scales); }
    vf zero() const { return zeros ? groups.pair(zeros) : splat(8.0f); }
    // Of groups g to g + 15: what they take from y for a sum of x of one.
    vf minima(int64_t g) const {
      vf z = zeros ? widen_some(zeros + g, count - g) : splat(8.0f);
      return load_some(scales + g, count - g) * z;
    }
    const uint8_t* p;
    const float* scales;
    const uint8_t* zeros;
    Groups groups;
    int64_t count;
  };
};

// GGUF, blocks of 32 columns. Q4_0: scale (half), then 16 bytes: columns 0-15 in the low halves,
// 16-31 in the high. Q5_0: scale, a fifth bit of each column in 4 bytes, then as Q4_0. Q8_0: scale,
// then 32 signed bytes.
template <int BITS>
struct Block32 : Integer<Block32<BITS>> {
  static constexpr int OFFSET = 1 << (BITS - 1), STEP = 64;
  static constexpr Minima MINIMA = NONE;
  static constexpr int64_t B = 2 + 4 * BITS;
  static int64_t bytes(const Matrix& w) { return w.cols / 32 * B; }

  struct Row {
    Row() = default;
    Row(const Matrix& w, int64_t row)
        : p(static_cast<const uint8_t*>(w.data) + row * bytes(w)), cols(w.cols) {}
    void begin(int64_t) {}
    // The last block may stand alone; its neighbour is then itself, with a scale of zero.
    const uint8_t* second(int64_t k) const { return p + k / 32 * B + (k + 32 < cols ? B : 0); }
    vub weights(int64_t k, int) const {
      const uint8_t *a = p + k / 32 * B, *b = second(k);
      if constexpr (BITS == 8) return join(load_as<hub>(a + 2), load_as<hub>(b + 2)) ^ 128;
      if constexpr (BITS == 4) return nibbles(a + 2, b + 2);
      return nibbles(a + 6, b + 6) | fifth_bits(load_as<uint32_t>(a + 2), load_as<uint32_t>(b + 2));
    }
    vf scale(int64_t k, int) const {
      uint16_t a = load_as<uint16_t>(p + k / 32 * B);
      return half_pair(a, k + 32 < cols ? load_as<uint16_t>(p + k / 32 * B + B) : uint16_t{0});
    }
    const uint8_t* p;
    int64_t cols;
  };
};

// The 6-bit scales and minima of the 8 groups of 32 columns of Q4_K and Q5_K, from 12 bytes.
inline void unpack_scales(const uint8_t* p, v8f* scale, v8f* least) {
  uint32_t a = load_as<uint32_t>(p), b = load_as<uint32_t>(p + 4), c = load_as<uint32_t>(p + 8);
  uint32_t scales[2] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)};
  uint32_t minima[2] = {b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)};
  *scale = widen_eight(scales);
  *least = widen_eight(minima);
}

// GGUF: 256 columns: d, dmin (halves), 12 bytes of scales, [32 bytes of fifth bits,] 128 bytes:
// of each 64 columns 32 bytes, the first 32 columns in the low halves.
template <bool FIVE>
struct BlockK45 : Integer<BlockK45<FIVE>> {
  static constexpr int OFFSET = 0, STEP = 256;
  static constexpr Minima MINIMA = OF_BLOCK;
  static constexpr int64_t B = FIVE ? 176 : 144;
  static int64_t bytes(const Matrix& w) { return w.cols / 256 * B; }

  struct Row {
    Row() = default;
    Row(const Matrix& w, int64_t row) : p(static_cast<const uint8_t*>(w.data) + row * bytes(w)) {}
    void begin(int64_t k) {
      block = p + k / 256 * B;
      unpack_scales(block + 4, &scales, &least);
      scales *= from_f16(load_as<uint16_t>(block));
      least *= from_f16(load_as<uint16_t>(block + 2));
    }
    vub weights(int64_t, int j) const {
      vub v = nibbles(block + (FIVE ? 48 : 16) + 32 * j);
      if (FIVE) {
        hub high = load_as<hub>(block + 16) >> (2 * j);
        v |= join((high & 1) << 4, (high & 2) << 3);
      }
      return v;
    }
    vf scale(int64_t, int j) const { return neighbours(scales, j); }
    vf minimum(int j) const { return neighbours(least, j); }
    v8f minima(const float* block_sums) const { return least * load_as<v8f>(block_sums); }
    const uint8_t *p, *block;
    v8f scales, least;
  };
};

// GGUF: 256 columns: 128 bytes of low halves, 64 bytes of two high bits each, 16 signed scales of
// 16 columns each, d (half). Of each 128 columns: columns 0-63 in the low halves of 64 bytes,
// 64-127 in their high halves; high bits of columns l, l + 32, l + 64, l + 96 share byte l.
struct BlockQ6_K : Integer<BlockQ6_K> {
  static constexpr int OFFSET = 32, STEP = 256;
  static constexpr Minima MINIMA = NONE;
  static constexpr int64_t B = 210;
  static int64_t bytes(const Matrix& w) { return w.cols / 256 * B; }

  struct Row {
    Row() = default;
    Row(const Matrix& w, int64_t row) : p(static_cast<const uint8_t*>(w.data) + row * bytes(w)) {}
    void begin(int64_t k) {
      block = p + k / 256 * B;
      scales = widen_signed(block + 192) * from_f16(load_as<uint16_t>(block + 208));
    }
    vub weights(int64_t, int j) const {
      vub low = load_as<vub>(block + 64 * (j / 2));
      low = j % 2 ? low >> 4 : low;
      hub high = load_as<hub>(block + 128 + 32 * (j / 2)) >> (j % 2 * 4);
      return (low & 15) | join((high & 3) << 4, (high & 12) << 2);
    }
    vf scale(int64_t, int j) const { return quads(scales, j); }
    const uint8_t *p, *block;
    vf scales;  // one for 16 columns, which are 4 lanes
  };
};

// Call f with the type of the matrix's kind.
template <class F>
void with_kind(const Matrix& w, F&& f) {
  switch (w.kind) {
    case F32: return f(Floating<float>{});
    case BF16: return f(Floating<bf16>{});
    case F16: return f(Floating<f16>{});
    case I8: return f(Int8{});
    case I4: return f(Int4{});
    case Q4_0: return f(Block32<4>{});
    case Q8_0: return f(Block32<8>{});
    case Q4_K: return f(BlockK45<false>{});
    case Q5_K: return f(BlockK45<true>{});
    case Q6_K: return f(BlockQ6_K{});
    case Q5_0: return f(Block32<5>{});
  }
}

}  // namespace hf
