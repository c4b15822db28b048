// Backward pass (arXiv:2307.08691, algorithm 2): weights come back from what the forward pass kept.
//
//   P = 2**(S - top - log2 sum)    dP = dO @ V.T    dS = P * (dP - rowsum(dO * O))
//   dV = P.T @ dO       dQ = scale * dS @ K       dK = scale * dS.T @ Q
//
// P and dS of four panels stand side by side, [key][WIDTH]. Sums over queries run along such rows,
// and there elements of the head are the lanes, padded to 16.
//
// Each thread takes a stretch of units of equal cost. Gradients of keys and values gather in its own
// memory until a head is done; what a thread adds to a head that another began waits for the end.
#include <memory>

#include "../common/exports.h"
#include "../common/parallel.h"
#include "attention.h"

namespace hf::attention {

namespace {

struct Gradients {
  View out, dout;
  const float* norms;
  View dq, dk, dv;
};

// Gradients of keys and values of one head of one sequence: [key][padded size], [key][padded size].
struct Sums {
  std::unique_ptr<Arena> memory;
  float *dk, *dv;
  int64_t sequence = -1, kv_head = -1;

  void open(const Attention& a, const Unit& unit, int64_t most_keys) {
    if (!memory) {
      int64_t k = most_keys * padded(a.size), v = most_keys * padded(a.value_size);
      memory = std::make_unique<Arena>(k + v);
      dk = memory->take(k);
      dv = memory->take(v);
    }
    sequence = unit.sequence;
    kv_head = unit.kv_head;
    std::fill_n(dk, a.sequences[sequence].keys * padded(a.size), 0.0f);
    std::fill_n(dv, a.sequences[sequence].keys * padded(a.value_size), 0.0f);
  }

  bool holds(const Unit& unit) const {
    return sequence == unit.sequence && kv_head == unit.kv_head;
  }
};

// Put rows [begin, end) of the sums into the gradients, or add them.
void write(const Attention& a, const Sums& sums, const Gradients& g, int64_t begin, int64_t end,
           bool add) {
  const Sequence& s = a.sequences[sums.sequence];
  auto rows = [&](const View& to, const float* from, int64_t size) {
    for (int64_t j = begin; j < end; ++j) {
      float* row = to.at(s.batch, sums.kv_head, s.first_key + j);
      const float* sum = from + j * padded(size);
      if (!add) std::memcpy(row, sum, size * 4);
      for (int64_t t = 0; add && t < size; ++t) row[t] += sum[t];
    }
  };
  rows(g.dk, sums.dk, a.size);
  rows(g.dv, sums.dv, a.value_size);
}

class Backward {
 public:
  Backward(const Plan& plan, const Gradients& g)
      : plan_(plan), a_(plan.a), g_(g), arena_(floats(plan.a)) {
    q_ = arena_.take(PANELS * a_.size * LANES);
    dq_ = arena_.take(PANELS * a_.size * LANES);
    dout_ = arena_.take(PANELS * a_.value_size * LANES);
    q_rows_ = arena_.take(WIDTH * padded(a_.size));
    dout_rows_ = arena_.take(WIDTH * padded(a_.value_size));
    p_ = arena_.take(KEYS * WIDTH);
    ds_ = arena_.take(KEYS * WIDTH);
    slope_ = a_.softcap > 0 ? arena_.take(KEYS * WIDTH) : nullptr;
    spare_ = arena_.take(KEYS * LANES);
    k_ = arena_.take(KEYS * a_.size);
    v_ = arena_.take(KEYS * a_.value_size);
  }

  void run(const Unit& unit, const Sums& sums) {
    const Sequence& seq = a_.sequences[unit.sequence];
    int64_t begin = seq.keys, end = 0;
    for (int i = 0; i < unit.panels; ++i) {
      Panel& p = panels_[i] = plan_.panel(unit, i);
      begin = std::min(begin, p.begin);
      end = std::max(end, p.end);
      open(seq, i);
    }
    for (int64_t j = begin; j < end; j += KEYS) {
      keys(seq, unit, j, std::min(end, j + KEYS), end, sums);
    }
    alignas(64) float scale[LANES];
    std::fill_n(scale, LANES, a_.scale);
    for (int i = 0; i < unit.panels; ++i) {
      const float* rows[LANES];
      lanes_of(g_.dq, seq, panels_[i], rows);
      scatter_lanes(dq_ + i * a_.size * LANES, LANES, panels_[i].lanes, a_.size, scale,
                    const_cast<float* const*>(rows));
    }
  }

 private:
  static int64_t floats(const Attention& a) {
    int64_t rows = 2 * a.size + a.value_size + padded(a.size) + padded(a.value_size);
    return WIDTH * rows + KEYS * (3 * WIDTH + LANES + a.size + a.value_size) + 512;
  }

  // Rows of a panel, times `scale`, zero beyond the lanes and beyond `size`.
  static void natural(const float* const* rows, int lanes, int64_t size, float scale, float* to) {
    std::fill_n(to, LANES * padded(size), 0.0f);
    for (int i = 0; i < lanes; ++i) {
      for (int64_t t = 0; t < size; ++t) to[i * padded(size) + t] = rows[i][t] * scale;
    }
  }

  void open(const Sequence& seq, int i) {
    const Panel& p = panels_[i];
    const float *q[LANES], *out[LANES], *dout[LANES];
    lanes_of(a_.q, seq, p, q);
    lanes_of(g_.out, seq, p, out);
    lanes_of(g_.dout, seq, p, dout);
    gather_lanes(q, p.lanes, a_.size, a_.factor(), q_ + i * a_.size * LANES, LANES);
    gather_lanes(dout, p.lanes, a_.value_size, 1.0f, dout_ + i * a_.value_size * LANES, LANES);
    natural(q, p.lanes, a_.size, a_.scale, q_rows_ + i * LANES * padded(a_.size));
    natural(dout, p.lanes, a_.value_size, 1.0f, dout_rows_ + i * LANES * padded(a_.value_size));
    std::fill_n(dq_ + i * a_.size * LANES, a_.size * LANES, 0.0f);
    for (int c = 0; c < LANES; ++c) {
      float sum = 0, top = 0, log = __builtin_inff();  // without weight
      if (c < p.lanes) {
        int64_t row = seq.first_query + p.row[c];
        const float* norm = g_.norms + 2 * ((seq.batch * a_.heads + p.head[c]) * a_.rows + row);
        top = norm[0], log = norm[1];
        int64_t t = 0;
        nf sums{};
        for (; t + NW <= a_.value_size; t += NW) sums += nload(out[c] + t) * nload(dout[c] + t);
        for (int k = 0; k < NW; ++k) sum += sums[k];
        for (; t < a_.value_size; ++t) sum += out[c][t] * dout[c][t];
      }
      top_[i * LANES + c] = top;
      log_[i * LANES + c] = log;
      delta_[i * LANES + c] = sum;
    }
  }

  void keys(const Sequence& seq, const Unit& unit, int64_t begin, int64_t end, int64_t limit,
            const Sums& sums) {
    const float* k = a_.k.at(seq.batch, unit.kv_head, seq.first_key + begin);
    const float* v = a_.v.at(seq.batch, unit.kv_head, seq.first_key + begin);
    int64_t further = std::min<int64_t>(KEYS, limit - end), count = end - begin;
    copy_rows(k, a_.k.row, count, a_.size, k_, further);
    copy_rows(v, a_.v.row, count, a_.value_size, v_, further);
    for (int i = 0; i < unit.panels; ++i) queries(seq, i, begin, end);
    for (int64_t j = 0; j < count; j += ROWS) {
      int64_t rows = std::min<int64_t>(ROWS, count - j);
      // Panels that see one of these keys are neighbours.
      int low = 0, high = unit.panels;
      auto blind = [&](int i) {
        return panels_[i].end <= begin + j || panels_[i].begin >= begin + j + rows;
      };
      while (low < high && blind(low)) ++low;
      while (low < high && blind(high - 1)) --high;
      if (low == high) continue;
      int64_t first = low * LANES;
      // A panel that ends early ends with lanes that weigh nothing.
      int64_t width = (high - low - 1) * LANES + panels_[high - 1].lanes;
      int64_t k_size = padded(a_.size), v_size = padded(a_.value_size);
      product({p_ + j * WIDTH + first, WIDTH, 1, dout_rows_ + first * v_size, v_size, width,
               sums.dv + (begin + j) * v_size, v_size, nullptr, true},
              rows, v_size / NW);
      product({ds_ + j * WIDTH + first, WIDTH, 1, q_rows_ + first * k_size, k_size, width,
               sums.dk + (begin + j) * k_size, k_size, nullptr, true},
              rows, k_size / NW);
    }
  }

  // Weights and gradients of scores of panel i, for keys [begin, end); its part of dq.
  void queries(const Sequence& seq, int i, int64_t begin, int64_t end) {
    const Panel& p = panels_[i];
    int64_t first = std::max(begin, p.begin), last = std::min(end, p.end);
    float *weights = p_ + i * LANES, *ds = ds_ + i * LANES;
    for (int64_t j = begin; j < end; ++j) {
      if (first <= j && j < last) continue;
      std::fill_n(weights + (j - begin) * WIDTH, LANES, 0.0f);
      std::fill_n(ds + (j - begin) * WIDTH, LANES, 0.0f);
    }
    if (first >= last) return;
    int64_t skip = first - begin, rows = last - first;
    weights += skip * WIDTH;
    ds += skip * WIDTH;
    float* slope = slope_ ? slope_ + skip * WIDTH + i * LANES : nullptr;
    const float* k = k_ + skip * a_.size;
    scores(a_, seq, p, q_ + i * a_.size * LANES, k, a_.size, first, last, weights, WIDTH, slope,
           spare_);
    product({v_ + skip * a_.value_size, a_.value_size, 1, dout_ + i * a_.value_size * LANES, LANES,
             a_.value_size, ds, WIDTH, nullptr, false},
            rows, p.vectors);
    for (int c = 0; c < p.vectors * NW; c += NW) {
      nf top = nload(top_ + i * LANES + c), log = nload(log_ + i * LANES + c);
      nf delta = nload(delta_ + i * LANES + c);
      for (int64_t j = 0; j < rows; ++j) {
        float *w = weights + j * WIDTH + c, *d = ds + j * WIDTH + c;
        nf weight = exp2(nload(w) - top - log);
        nf gradient = weight * (nload(d) - delta);
        if (slope) gradient *= nload(slope + j * WIDTH + c);
        nstore(w, weight);
        nstore(d, gradient);
      }
    }
    for (int64_t j = 0; j < rows; ++j) {
      for (int c = p.vectors * NW; c < LANES; ++c) weights[j * WIDTH + c] = ds[j * WIDTH + c] = 0;
    }
    product({k, 1, a_.size, ds, WIDTH, rows, dq_ + i * a_.size * LANES, LANES, nullptr, true},
            a_.size, p.vectors);
  }

  const Plan& plan_;
  const Attention& a_;
  const Gradients& g_;
  Arena arena_;
  float *q_, *dq_, *dout_, *q_rows_, *dout_rows_, *p_, *ds_, *slope_, *spare_, *k_, *v_;
  Panel panels_[PANELS];
  alignas(64) float top_[WIDTH], log_[WIDTH], delta_[WIDTH];
};

// Where each thread's stretch of units begins; one more than threads.
std::vector<int64_t> stretches(const std::vector<Unit>& units, int threads) {
  int64_t total = 0, sum = 0;
  for (const Unit& unit : units) total += unit.cost;
  std::vector<int64_t> bounds{0};
  int64_t count = static_cast<int64_t>(units.size());
  for (int64_t i = 0; i < count; ++i) {
    sum += units[i].cost;
    int64_t part = static_cast<int64_t>(bounds.size());
    if (part < threads && sum >= total * part / threads) bounds.push_back(i + 1);
  }
  bounds.resize(threads + 1, count);
  return bounds;
}

void stretch(const Plan& plan, const Gradients& g, int64_t first, int64_t last, int64_t most_keys,
             Sums& carried) {
  if (first >= last) return;
  const std::vector<Unit>& units = plan.units;
  Backward backward(plan, g);
  Sums own;
  const Unit* before = first ? &units[first - 1] : nullptr;
  for (int64_t i = first; i < last;) {
    bool begun = before && i == first && before->sequence == units[i].sequence &&
                 before->kv_head == units[i].kv_head;
    Sums& sums = begun ? carried : own;
    sums.open(plan.a, units[i], most_keys);
    for (; i < last && sums.holds(units[i]); ++i) backward.run(units[i], sums);
    if (!begun) write(plan.a, own, g, 0, plan.a.sequences[own.sequence].keys, false);
  }
}

}  // namespace
}  // namespace hf::attention

// From what `hf_attention` got and gave, and the gradient of out: those of q, k and v.
HF_EXPORT void hf_attention_backward(const hf::attention::Attention* a,
                                     const hf::attention::View* out,
                                     const hf::attention::View* dout, const float* norms,
                                     const hf::attention::View* dq, const hf::attention::View* dk,
                                     const hf::attention::View* dv) {
  using namespace hf::attention;
  Plan plan(*a);
  Gradients g{*out, *dout, norms, *dq, *dk, *dv};
  int64_t count = static_cast<int64_t>(plan.units.size()), most_keys = 0;
  for (int64_t i = 0; i < a->count; ++i) most_keys = std::max(most_keys, a->sequences[i].keys);
  int threads = static_cast<int>(std::min<int64_t>(hf::max_threads(), count));
  std::vector<int64_t> bounds = stretches(plan.units, threads);
  std::vector<Sums> carried(threads);
  // A team may have fewer threads than asked for.
  hf::parallel(threads, [&](int thread, int team) {
    for (int i = thread; i < threads; i += team) {
      stretch(plan, g, bounds[i], bounds[i + 1], most_keys, carried[i]);
    }
  });
  hf::parallel(threads, [&](int thread, int team) {
    for (const Sums& sums : carried) {
      if (sums.sequence < 0) continue;
      hf::Range part = hf::share(a->sequences[sums.sequence].keys, thread, team);
      write(*a, sums, g, part.begin, part.end, true);
    }
  });
}
