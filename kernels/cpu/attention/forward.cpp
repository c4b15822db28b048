// Forward pass: a running maximum and sum of each query while blocks of keys go by.
#include <atomic>
#include <cmath>

#include "../common/exports.h"
#include "../common/parallel.h"
#include "attention.h"

namespace hf::attention {

namespace {

struct State {
  alignas(64) float top[LANES], sum[LANES];  // maximum so far (base 2), sum of 2**(s - top)
};

// Scores become weights 2**(s - top); `rescale` gets what earlier sums are to be multiplied by.
// C vectors side by side hide the latency of each other's maxima and sums.
template <int C>
void soften(int first, int64_t rows, float* s, State& state, float* rescale) {
  s += first;
  nf old[C], top[C], base[C], factor[C], sum[C];
  for (int c = 0; c < C; ++c) old[c] = top[c] = nload(state.top + first + c * NW);
  for (int64_t j = 0; j < rows; ++j) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) top[c] = nmax(top[c], nload(s + j * LANES + c * NW));
  }
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) {
    // A lane that has seen nothing yet: -inf less -inf would be NaN.
    base[c] = top[c] == -__builtin_inff() ? nsplat(0) : top[c];
    factor[c] = exp2(old[c] - base[c]);
    sum[c] = nload(state.sum + first + c * NW) * factor[c];
  }
  for (int64_t j = 0; j < rows; ++j) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      nf weight = exp2(nload(s + j * LANES + c * NW) - base[c]);
      nstore(s + j * LANES + c * NW, weight);
      sum[c] += weight;
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) {
    nstore(rescale + first + c * NW, factor[c]);
    nstore(state.top + first + c * NW, top[c]);
    nstore(state.sum + first + c * NW, sum[c]);
  }
}

void soften(const Panel& p, int64_t rows, float* s, State& state, float* rescale) {
  int c = 0;
  for (; c + 3 <= p.vectors; c += 3) soften<3>(c * NW, rows, s, state, rescale);
  for (; c < p.vectors; ++c) soften<1>(c * NW, rows, s, state, rescale);
}

class Forward {
 public:
  Forward(const Plan& plan, const View& out, float* norms)
      : plan_(plan), a_(plan.a), out_(out), norms_(norms), arena_(floats(plan.a)) {
    q_ = arena_.take(PANELS * a_.size * LANES);
    sums_ = arena_.take(PANELS * a_.value_size * LANES);
    s_ = arena_.take(KEYS * LANES);
    spare_ = arena_.take(KEYS * LANES);
    k_ = arena_.take(KEYS * a_.size);
    v_ = arena_.take(KEYS * a_.value_size);
  }

  void run(const Unit& unit) {
    const Sequence& seq = a_.sequences[unit.sequence];
    int64_t begin = seq.keys, end = 0;
    for (int i = 0; i < unit.panels; ++i) {
      Panel& p = panels_[i] = plan_.panel(unit, i);
      begin = std::min(begin, p.begin);
      end = std::max(end, p.end);
      open(seq, i);
    }
    for (int64_t j = begin; j < end; j += KEYS) {
      keys(seq, unit, j, std::min(end, j + KEYS), end);
    }
    for (int i = 0; i < unit.panels; ++i) close(seq, i);
  }

 private:
  static int64_t floats(const Attention& a) {
    return (PANELS * LANES + KEYS) * (a.size + a.value_size + 1) + 2 * KEYS * LANES + 256;
  }

  void open(const Sequence& seq, int i) {
    const float* rows[LANES];
    lanes_of(a_.q, seq, panels_[i], rows);
    gather_lanes(rows, panels_[i].lanes, a_.size, a_.factor(), q_ + i * a_.size * LANES, LANES);
    std::fill_n(states_[i].top, LANES, -__builtin_inff());
    std::fill_n(states_[i].sum, LANES, 0.0f);
    started_[i] = false;
  }

  void keys(const Sequence& seq, const Unit& unit, int64_t begin, int64_t end,
            int64_t limit) {
    const float* k = a_.k.at(seq.batch, unit.kv_head, seq.first_key + begin);
    const float* v = a_.v.at(seq.batch, unit.kv_head, seq.first_key + begin);
    int64_t k_row = a_.k.row, v_row = a_.v.row;
    if (unit.panels > 1) {
      int64_t further = std::min<int64_t>(KEYS, limit - end);
      copy_rows(k, k_row, end - begin, a_.size, k_, further);
      copy_rows(v, v_row, end - begin, a_.value_size, v_, further);
      k = k_, v = v_, k_row = a_.size, v_row = a_.value_size;
    }
    for (int i = 0; i < unit.panels; ++i) {
      const Panel& p = panels_[i];
      int64_t first = std::max(begin, p.begin), last = std::min(end, p.end);
      if (first >= last) continue;
      int64_t skip = first - begin;
      scores(a_, seq, p, q_ + i * a_.size * LANES, k + skip * k_row, k_row, first, last, s_, LANES,
             nullptr, spare_);
      soften(p, last - first, s_, states_[i], rescale_);
      product({v + skip * v_row, 1, v_row, s_, LANES, last - first,
               sums_ + i * a_.value_size * LANES, LANES, rescale_, started_[i]},
              a_.value_size, p.vectors);
      started_[i] = true;
    }
  }

  void close(const Sequence& seq, int i) {
    const Panel& p = panels_[i];
    const State& state = states_[i];
    float* sums = sums_ + i * a_.value_size * LANES;
    if (!started_[i]) std::fill_n(sums, a_.value_size * LANES, 0.0f);
    float* rows[LANES];
    alignas(64) float inverse[LANES] = {};
    for (int c = 0; c < p.lanes; ++c) {
      int64_t row = seq.first_query + p.row[c];
      rows[c] = out_.at(seq.batch, p.head[c], row);
      // Nothing seen: zeros, and no gradient.
      bool blind = state.sum[c] == 0;
      inverse[c] = blind ? 0.0f : 1.0f / state.sum[c];
      if (!norms_) continue;
      float* norm = norms_ + 2 * ((seq.batch * a_.heads + p.head[c]) * a_.rows + row);
      norm[0] = blind ? 0.0f : state.top[c];
      norm[1] = blind ? __builtin_inff() : std::log2(state.sum[c]);
    }
    scatter_lanes(sums, LANES, p.lanes, a_.value_size, inverse, rows);
  }

  const Plan& plan_;
  const Attention& a_;
  const View& out_;
  float* norms_;
  Arena arena_;
  float *q_, *sums_, *s_, *spare_, *k_, *v_;
  Panel panels_[PANELS];
  State states_[PANELS];
  bool started_[PANELS];
  alignas(64) float rescale_[LANES];
};

}  // namespace
}  // namespace hf::attention

// out [batch, head, row, element] and, unless nullptr, norms [batch, heads, rows, 2]: the
// largest score and the logarithm of the sum of weights relative to it, both to base 2.
HF_EXPORT void hf_attention(const hf::attention::Attention* a, const hf::attention::View* out,
                            float* norms) {
  using namespace hf::attention;
  Plan plan(*a);
  int64_t count = static_cast<int64_t>(plan.units.size());
  std::atomic<int64_t> next{count - 1};  // the last queries of causal attention see most
  int threads = static_cast<int>(std::min<int64_t>(hf::max_threads(), count));
  hf::parallel(threads, [&](int, int) {
    Forward forward(plan, *out, norms);
    for (int64_t i; (i = next.fetch_sub(1, std::memory_order_relaxed)) >= 0;) {
      forward.run(plan.units[i]);
    }
  });
}
