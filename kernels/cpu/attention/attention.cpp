#include "attention.h"

namespace hf::attention {

Plan::Plan(const Attention& a) : a(a) {
  seen_.resize(a.count);
  for (int64_t i = 0; i < a.count; ++i) {
    const Sequence& s = a.sequences[i];
    Seen& seen = seen_[i] = {0, s.keys};
    if (a.seen) {
      const uint8_t* flags = a.seen + s.batch * a.seen_batch + s.first_key * a.seen_key;
      while (seen.begin < seen.end && !flags[seen.begin * a.seen_key]) ++seen.begin;
      while (seen.begin < seen.end && !flags[(seen.end - 1) * a.seen_key]) --seen.end;
    }
    add(i);
  }
}

// Heads that share a panel: all queries of several heads, if they are few.
static int64_t heads_a_panel(const Attention& a, const Sequence& s) {
  return std::max<int64_t>(1, std::min(a.heads / a.kv_heads, LANES / s.queries));
}

void Plan::add(int64_t sequence) {
  const Sequence& s = a.sequences[sequence];
  int64_t group = a.heads / a.kv_heads, together = heads_a_panel(a, s);
  int64_t runs = together > 1 ? 1 : group;  // units do not cross heads
  int64_t panels = together > 1 ? (group + together - 1) / together : (s.queries + LANES - 1) / LANES;
  for (int64_t h = 0; h < a.kv_heads; ++h) {
    for (int64_t run = 0; run < runs; ++run) {
      for (int64_t p = 0; p < panels; p += PANELS) {
        int count = static_cast<int>(std::min<int64_t>(PANELS, panels - p));
        Unit unit{sequence, h, run * panels + p, count, 0};
        for (int i = 0; i < count; ++i) {
          Panel panel = this->panel(unit, i);
          unit.cost += std::max<int64_t>(panel.end - panel.begin, 0) + 1;
        }
        units.push_back(unit);
      }
    }
  }
}

Panel Plan::panel(const Unit& unit, int index) const {
  const Sequence& s = a.sequences[unit.sequence];
  int64_t group = a.heads / a.kv_heads, together = heads_a_panel(a, s);
  int64_t number = unit.first_panel + index;
  Panel p;
  p.lanes = 0;
  if (together > 1) {
    int64_t heads = std::min(together, group - number * together);
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < s.queries; ++i, ++p.lanes) {
        p.head[p.lanes] = unit.kv_head * group + number * together + h;
        p.row[p.lanes] = i;
      }
    }
  } else {
    int64_t panels = (s.queries + LANES - 1) / LANES, first = number % panels * LANES;
    for (int64_t i = first; i < std::min(s.queries, first + LANES); ++i, ++p.lanes) {
      p.head[p.lanes] = unit.kv_head * group + number / panels;
      p.row[p.lanes] = i;
    }
  }
  p.one_head = p.head[0] == p.head[p.lanes - 1];
  p.vectors = static_cast<int>(padded(p.lanes) / NW);
  p.first = (together > 1 ? 0 : p.row[0]) + a.offset;
  p.last = p.row[p.lanes - 1] + a.offset;
  for (int i = 0; i < LANES; ++i) {
    p.position[i] = static_cast<int32_t>(i < p.lanes ? p.row[i] + a.offset : p.last);
  }
  p.begin = seen_[unit.sequence].begin;
  p.end = seen_[unit.sequence].end;
  if (a.causal) p.end = std::min(p.end, p.last + 1);
  if (a.window && a.causal) p.begin = std::max(p.begin, p.first - a.window + 1);
  if (a.window && !a.causal) {
    p.begin = std::max(p.begin, p.first - a.window);
    p.end = std::min(p.end, p.last + a.window + 1);
  }
  return p;
}

static const float HIDDEN = -__builtin_inff();

static void cap(const Attention& a, int lanes, int64_t rows, float* s, int64_t ld, float* slope) {
  for (int64_t j = 0; j < rows; ++j) {
    for (int c = 0; c < lanes; c += W) {
      vf t = tanh(load(s + j * ld + c));
      if (slope) store(slope + j * ld + c, 1.0f - t * t);
      store(s + j * ld + c, t * (a.softcap * LOG2E));
    }
  }
}

// To base 2. The lowest numbers, which callers use for "almost hidden", stay finite.
static nf base2(nf x) {
  return (x < -2e38f) | (x > 2e38f) ? x : x * LOG2E;
}

static void add_bias(const Attention& a, const Sequence& q, const Panel& p, int64_t begin,
                     int64_t rows, float* s, int64_t ld, float* spare) {
  if (a.bias.row == 0 && (a.bias.head == 0 || p.one_head)) {
    const float* bias = a.bias.at(q.batch, p.head[0], 0) + begin;
    for (int64_t j = 0; j < rows; ++j) {
      nf x = base2(nsplat(bias[j]));
      for (int c = 0; c < p.vectors; ++c) {
        nstore(s + j * ld + c * NW, nload(s + j * ld + c * NW) + x);
      }
    }
    return;
  }
  const float* lanes[LANES];
  for (int i = 0; i < p.lanes; ++i) lanes[i] = a.bias.at(q.batch, p.head[i], p.row[i]) + begin;
  gather_lanes(lanes, p.lanes, rows, 1.0f, spare, LANES);
  for (int64_t j = 0; j < rows; ++j) {
    for (int c = 0; c < p.vectors * NW; c += NW) {
      nstore(s + j * ld + c, nload(s + j * ld + c) + base2(nload(spare + j * LANES + c)));
    }
  }
}

static void hide(const Attention& a, const Panel& p, int64_t begin, int64_t rows, float* s,
                 int64_t ld) {
  // No lane's sight ends within these keys?
  bool after = a.causal && begin + rows - 1 > p.first;
  bool before = a.window && begin <= p.last - a.window;
  bool beyond = a.window && !a.causal && begin + rows - 1 > p.first + a.window;
  if (!after && !before && !beyond) return;
  int64_t ahead = a.causal ? 0 : a.window, behind = a.causal ? a.window - 1 : a.window;
  for (int c = 0; c < p.vectors * NW; c += NW) {
    ni position;
    std::memcpy(&position, p.position + c, sizeof position);
    for (int64_t j = 0; j < rows; ++j) {
      ni key = static_cast<int32_t>(begin + j) - ni{};
      ni hidden = ni{};
      if (after || beyond) hidden |= key > position + static_cast<int32_t>(ahead);
      if (before) hidden |= key < position - static_cast<int32_t>(behind);
      nf x = nload(s + j * ld + c);
      nstore(s + j * ld + c, hidden ? nsplat(HIDDEN) : x);
    }
  }
}

void scores(const Attention& a, const Sequence& sequence, const Panel& panel, const float* panel_q,
            const float* k, int64_t k_row, int64_t begin, int64_t end, float* s, int64_t ld,
            float* slope, float* spare) {
  int64_t rows = end - begin;
  product({k, k_row, 1, panel_q, LANES, a.size, s, ld, nullptr, false}, rows, panel.vectors);
  if (a.softcap > 0) cap(a, panel.vectors * NW, rows, s, ld, slope);
  if (a.bias.data) add_bias(a, sequence, panel, begin, rows, s, ld, spare);
  if (a.seen) {
    const uint8_t* seen = a.seen + sequence.batch * a.seen_batch + sequence.first_key * a.seen_key;
    for (int64_t j = 0; j < rows; ++j) {
      if (seen[(begin + j) * a.seen_key]) continue;
      for (int c = 0; c < panel.vectors * NW; ++c) s[j * ld + c] = HIDDEN;
    }
  }
  hide(a, panel, begin, rows, s, ld);
}

}  // namespace hf::attention
