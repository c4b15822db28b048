#include "experts.h"

#include <algorithm>

#include "../common/activation.h"
#include "../common/exports.h"
#include "../common/parallel.h"
#include "tile.h"

namespace hf {
namespace {

// A thread's activations as products of few tokens read them, quantised where a weight is.
class Inputs {
 public:
  const Activation* of(const float* const* rows, int64_t count, int64_t cols, bool integer) {
    int64_t each = integer ? activation_words(cols) : 0;
    list_.resize(count);
    words_.resize(count * each);
    for (int64_t i = 0; i < count; ++i) {
      list_[i] = activation(rows[i], words_.data() + i * each, cols);
      if (integer) quantize(list_[i], cols);
    }
    return list_.data();
  }

 private:
  std::vector<Activation> list_;
  std::vector<float> words_;
};

bool integer(const Expert& e) {
  return is_integer(e.up.kind) || (e.gate.data && is_integer(e.gate.kind));
}

// up[i] = act(gate[i]) * up[i], or act(up[i]) without a gate.
void gate_rows(int32_t activation, float* up, const float* gate, int64_t count) {
  for (int64_t i = 0; i < count; i += W) {
    float u[W] = {}, g[W] = {};
    int64_t n = std::min<int64_t>(W, count - i);
    std::copy(up + i, up + i + n, u);
    if (gate) std::copy(gate + i, gate + i + n, g);
    vf value = gate ? activate(activation, load(g)) * load(u) : activate(activation, load(u));
    store(u, value);
    std::copy(u, u + n, up + i);
  }
}

// Rows [begin, begin + count) as float32: those of the weight itself, or unpacked into `out`.
const float* unpacked(const Matrix& w, int64_t begin, int64_t count, float* out) {
  if (w.kind == F32 && count == BLOCK) return static_cast<const float*>(w.data) + begin * w.cols;
  for (int64_t r = 0; r < count; ++r) dequantize_row(w, begin + r, out + r * w.cols);
  std::fill(out + count * w.cols, out + BLOCK * w.cols, 0.0f);
  return out;
}

}  // namespace

// What a thread needs for rows of `cols` columns and up to `most` tokens.
struct Mixture::Space {
  Space(int64_t cols, int64_t most) : rows(BLOCK * cols), gate(W * most), out(BLOCK * most), x(most) {}

  float (*sums())[BLOCK] { return reinterpret_cast<float(*)[BLOCK]>(out.data()); }

  std::vector<float> rows, gate, out;
  std::vector<const float*> x;
};

void Mixture::start(const Expert* experts, int64_t count, int32_t activation, const float* x,
                    const int64_t* index, const float* weights, float* y, int64_t tokens,
                    int64_t top_k) {
  experts_ = experts, activation_ = activation, x_ = x, weights_ = weights, y_ = y;
  tokens_ = tokens, top_k_ = top_k;
  most_ = 0;
  int64_t pairs = tokens * top_k;
  starts_.assign(count + 1, 0);
  for (int64_t p = 0; p < pairs; ++p) ++starts_[index[p] + 1];
  for (int64_t e = 0; e < count; ++e) starts_[e + 1] += starts_[e];
  chosen_.clear();
  for (int64_t e = 0; e < count; ++e) {
    if (starts_[e] == starts_[e + 1]) continue;
    chosen_.push_back({experts + e, starts_[e], starts_[e + 1]});
    most_ = std::max(most_, starts_[e + 1] - starts_[e]);
  }
  // Experts that no token chose may not have been read.
  width_ = chosen_[0].expert->up.cols, inner_ = chosen_[0].expert->up.rows;
  pairs_.resize(pairs);
  for (int64_t p = 0; p < pairs; ++p) pairs_[starts_[index[p]]++] = p;
  hidden_.resize(pairs * inner_);
  tasks_.clear();
  next_hidden_ = next_combine_ = 0;
  if (tokens <= FEW) return;
  for (size_t c = 0; c < chosen_.size(); ++c) {
    for (int64_t r = 0; r < inner_; r += W) {
      tasks_.push_back({static_cast<int64_t>(c), r, std::min(r + W, inner_)});
    }
  }
}

void Mixture::finish() {
  if (tokens_ > FEW) std::vector<float>().swap(hidden_);  // a long prompt's is large
}

int64_t Mixture::bytes() const {
  int64_t total = 0;
  for (const Chosen& c : chosen_) {
    const Expert& e = *c.expert;
    total += e.up.rows * row_bytes(e.up) + e.down.rows * row_bytes(e.down);
    if (e.gate.data) total += e.gate.rows * row_bytes(e.gate);
  }
  return total;
}

void Mixture::hidden(int thread, int team) {
  tokens_ <= FEW ? few_hidden(thread, team) : many_hidden();
}

void Mixture::combine(int thread, int team) {
  tokens_ <= FEW ? few_combine(thread, team) : many_combine();
}

// A thread takes a run of the rows of all chosen experts laid end to end.
void Mixture::few_hidden(int thread, int team) {
  thread_local Inputs inputs;
  thread_local std::vector<float> gate;
  thread_local std::vector<const float*> rows;
  const int64_t count = static_cast<int64_t>(chosen_.size());
  Range all = share(count * inner_, thread, team, W);
  bool any = false;
  for (const Chosen& c : chosen_) any |= integer(*c.expert);
  rows.clear();
  for (int64_t t = 0; t < tokens_; ++t) rows.push_back(x_ + t * width_);
  const Activation* x = inputs.of(rows.data(), tokens_, width_, any);
  gate.resize(tokens_ * inner_);
  std::vector<Activation> mine;
  for (int64_t i = all.begin / inner_; i < count && i * inner_ < all.end; ++i) {
    const Chosen& c = chosen_[i];
    int64_t begin = std::max(all.begin - i * inner_, int64_t{0});
    int64_t end = std::min(all.end - i * inner_, inner_);
    int n = static_cast<int>(c.end - c.begin);
    mine.clear();
    for (int64_t p = c.begin; p < c.end; ++p) mine.push_back(x[pairs_[p] / top_k_]);
    float* up = hidden_.data() + c.begin * inner_;
    product(c.expert->up, mine.data(), n, up, inner_, begin, end);
    bool gated = c.expert->gate.data;
    if (gated) product(c.expert->gate, mine.data(), n, gate.data(), inner_, begin, end);
    for (int m = 0; m < n; ++m) {
      float* other = gated ? gate.data() + m * inner_ + begin : nullptr;
      gate_rows(activation_, up + m * inner_ + begin, other, end - begin);
    }
  }
}

// A thread takes the same rows of every expert, so that it alone adds to its columns of y.
void Mixture::few_combine(int thread, int team) {
  thread_local Inputs inputs;
  thread_local std::vector<float> out;
  std::vector<const float*> rows;
  Range mine = share(width_, thread, team, W);
  out.resize(tokens_ * width_);
  for (int64_t t = 0; t < tokens_; ++t) {
    std::fill(y_ + t * width_ + mine.begin, y_ + t * width_ + mine.end, 0.0f);
  }
  for (const Chosen& c : chosen_) {
    const Matrix& w = c.expert->down;
    rows.clear();
    for (int64_t p = c.begin; p < c.end; ++p) rows.push_back(hidden_.data() + p * inner_);
    const int n = static_cast<int>(c.end - c.begin);
    const Activation* h = inputs.of(rows.data(), n, inner_, is_integer(w.kind));
    product(w, h, n, out.data(), width_, mine.begin, mine.end);
    for (int64_t i = 0; i < n; ++i) {
      int64_t pair = pairs_[c.begin + i];
      float *y = y_ + pair / top_k_ * width_, *from = out.data() + i * width_;
      for (int64_t r = mine.begin; r < mine.end; ++r) y[r] += weights_[pair] * from[r];
    }
  }
}

void Mixture::hidden_rows(const Chosen& c, int64_t begin, int64_t end, Space& space) {
  const int64_t n = c.end - c.begin;
  const Expert& e = *c.expert;
  for (int64_t p = 0; p < n; ++p) space.x[p] = x_ + pairs_[c.begin + p] / top_k_ * width_;
  for (int64_t r = begin; r < end; r += BLOCK) {
    int64_t count = std::min<int64_t>(BLOCK, end - r);
    auto run = [&](const Matrix& w, float* to, int64_t stride) {
      const float* from = unpacked(w, r, count, space.rows.data());
      tiles(from, w.cols, space.x.data(), n, w.cols, space.sums());
      for (int64_t m = 0; m < n; ++m) {
        for (int64_t i = 0; i < count; ++i) {
          to[m * stride + i] = space.sums()[m][i] + (w.bias ? w.bias[r + i] : 0.0f);
        }
      }
    };
    run(e.up, hidden_.data() + c.begin * inner_ + r, inner_);
    if (e.gate.data) run(e.gate, space.gate.data() + (r - begin), W);
  }
  for (int64_t m = 0; m < n; ++m) {
    float* up = hidden_.data() + (c.begin + m) * inner_ + begin;
    gate_rows(activation_, up, e.gate.data ? space.gate.data() + m * W : nullptr, end - begin);
  }
}

// Tasks are taken as threads come free: a thread may lose its processor to another process.
void Mixture::many_hidden() {
  Space space(width_, most_);
  const int64_t count = static_cast<int64_t>(tasks_.size());
  for (int64_t i; (i = next_hidden_.fetch_add(1, std::memory_order_relaxed)) < count;) {
    const Task& t = tasks_[i];
    hidden_rows(chosen_[t.chosen], t.begin, t.end, space);
  }
}

void Mixture::many_combine() {
  Space space(inner_, most_);
  for (int64_t at; (at = W * next_combine_.fetch_add(1, std::memory_order_relaxed)) < width_;) {
    int64_t end = std::min(at + W, width_);
    for (int64_t t = 0; t < tokens_; ++t) std::fill(y_ + t * width_ + at, y_ + t * width_ + end, 0.0f);
    for (const Chosen& c : chosen_) {
      const Matrix& w = c.expert->down;
      const int64_t n = c.end - c.begin;
      for (int64_t p = 0; p < n; ++p) space.x[p] = hidden_.data() + (c.begin + p) * inner_;
      for (int64_t r = at; r < end; r += BLOCK) {
        int64_t count = std::min<int64_t>(BLOCK, end - r);
        const float* from = unpacked(w, r, count, space.rows.data());
        tiles(from, w.cols, space.x.data(), n, w.cols, space.sums());
        for (int64_t m = 0; m < n; ++m) {
          int64_t pair = pairs_[c.begin + m];
          float* y = y_ + pair / top_k_ * width_ + r;
          for (int64_t i = 0; i < count; ++i) {
            y[i] += weights_[pair] * (space.sums()[m][i] + (w.bias ? w.bias[r + i] : 0.0f));
          }
        }
      }
    }
  }
}

}  // namespace hf

// x, y [tokens, width] float32; index [tokens, top_k] within [0, count); weights [tokens, top_k].
HF_EXPORT void hf_experts(const hf::Expert* experts, int64_t count, int32_t activation,
                          const float* x, const int64_t* index, const float* weights, float* y,
                          int64_t tokens, int64_t top_k) {
  using namespace hf;
  thread_local Mixture mix;
  Mixture& run = mix;
  run.start(experts, count, activation, x, index, weights, y, tokens, top_k);
  // A thread for less than this many bytes costs more than it brings.
  constexpr int64_t WORTH = 32768;
  int64_t worth = run.bytes() / WORTH + 1;
  int threads = static_cast<int>(std::min<int64_t>(max_threads(), worth));
  parallel(threads, [&](int thread, int team) { run.hidden(thread, team); });
  parallel(threads, [&](int thread, int team) { run.combine(thread, team); });
  run.finish();
}
