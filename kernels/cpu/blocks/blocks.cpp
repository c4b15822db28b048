// All decoder blocks of a model for a few new tokens, in one call.
//
// For each block, with h the residual stream and n() the norms:
//   q, k, v = n(h) Wq, n(h) Wk, n(h) Wv;  rotate q, k by position;  append k, v to the cache
//   h += softmax(q K^T * scale) V Wo;  h += (act(n(h) Wg) * (n(h) Wu)) Wd
//
// One team of threads does the whole: each thread computes some of the rows of every product, the
// small steps between are computed by each thread for itself, and a barrier stands where one needs
// the other's rows. Weights stream from memory once a call; activations stay in the caches.
#include "blocks.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "../common/activation.h"
#include "../common/exports.h"
#include "../common/parallel.h"
#include "../common/simd.h"
#include "../linear/gemm.h"
#include "../linear/transpose.h"

namespace hf {
namespace {

void normalize(const Norm& n, const float* x, float* out, int64_t size) {
  if (n.kind == 0) {
    std::copy(x, x + size, out);
    return;
  }
  int64_t whole = size / W * W;
  float mean = 0;
  if (n.kind == 2) {
    vf total{};
    for (int64_t i = 0; i < whole; i += W) total += load(x + i);
    mean = sum(total);
    for (int64_t i = whole; i < size; ++i) mean += x[i];
    mean /= static_cast<float>(size);
  }
  vf squares{};
  for (int64_t i = 0; i < whole; i += W) {
    vf d = load(x + i) - mean;
    squares += d * d;
  }
  float square = sum(squares);
  for (int64_t i = whole; i < size; ++i) square += (x[i] - mean) * (x[i] - mean);
  float inverse = 1.0f / std::sqrt(square / static_cast<float>(size) + n.eps);
  for (int64_t i = 0; i < whole; i += W) {
    vf y = (load(x + i) - mean) * inverse;
    if (n.weight) y *= load(n.weight + i) + n.offset;
    if (n.bias) y += load(n.bias + i);
    store(out + i, y);
  }
  for (int64_t i = whole; i < size; ++i) {
    float y = (x[i] - mean) * inverse;
    if (n.weight) y *= n.weight[i] + n.offset;
    out[i] = n.bias ? y + n.bias[i] : y;
  }
}

// Apply f to 16 floats of x and y at a time; the last may be fewer.
template <class F>
void each(float* x, const float* y, int64_t begin, int64_t end, F&& f) {
  int64_t i = begin;
  for (; i + W <= end; i += W) store(x + i, f(load(x + i), load(y + i)));
  if (i == end) return;
  float a[W] = {}, b[W] = {};
  std::copy(x + i, x + end, a);
  std::copy(y + i, y + end, b);
  store(a, f(load(a), load(b)));
  std::copy(a, a + (end - i), x + i);
}

void rotate(const Block& b, float* head, const float* cos, const float* sin) {
  for (int32_t p = 0; p < b.pairs; ++p) {
    int32_t i = b.interleaved ? 2 * p : p, j = b.interleaved ? 2 * p + 1 : p + b.pairs;
    float first = head[i], second = head[j];
    head[i] = first * cos[p] - second * sin[p];
    head[j] = second * cos[p] + first * sin[p];
  }
}

// A query of G heads that share a key head, over the keys [first, last] of its sequence: each key
// and value is read once. Nothing visible gives zeros.
template <int G>
class Heads {
 public:
  Heads(const Block& b, const float* const* q, const float* keys, const float* values,
        const uint8_t* visible, int64_t first, int64_t last)
      : b_(b), q_(q), keys_(keys + first * b.head_dim), values_(values + first * b.head_dim),
        visible_(visible ? visible + first : nullptr), count_(last - first + 1) {}

  // scores: room for G times as many floats as there are keys, each up to a multiple of W.
  void run(float* scores, float* const* out) const {
    const int64_t wide = (count_ + W - 1) / W * W;
    int64_t t = 0;
    for (; t + KEYS <= count_; t += KEYS) score<KEYS>(t, scores + t, wide);
    for (; t < count_; ++t) score<1>(t, scores + t, wide);
    float weights[G];
    for (int g = 0; g < G; ++g) weights[g] = weigh(scores + g * wide, wide);
    int64_t i = 0;
    for (; i + 4 * W <= b_.head_dim; i += 4 * W) gather<4>(scores, wide, weights, i, out);
    for (; i + W <= b_.head_dim; i += W) gather<1>(scores, wide, weights, i, out);
    for (; i < b_.head_dim; ++i) {
      for (int g = 0; g < G; ++g) {
        const float *s = scores + g * wide, *v = values_ + i;
        float acc = 0;
        for (int64_t k = 0; k < count_; ++k) acc += s[k] * v[k * b_.head_dim];
        out[g][i] = acc * weights[g];
      }
    }
  }

 private:
  static constexpr int KEYS = W / G;  // at once, so that their sums are taken together

  // s[g * wide + j]: the score of head g and key t + j.
  template <int N>
  void score(int64_t t, float* s, int64_t wide) const {
    const int64_t D = b_.head_dim;
    const float* k = keys_ + t * D;
    vf acc[W] = {};
    int64_t i = 0;
    for (; i + W <= D; i += W) {
      vf q[G];
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) q[g] = load(q_[g] + i);
#pragma GCC unroll 16
      for (int j = 0; j < N; ++j) {
        vf key = load(k + j * D + i);
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) acc[j * G + g] += q[g] * key;
      }
    }
    float totals[W];
    store(totals, sums(acc));
    for (int j = 0; j < N; ++j) {
      for (int g = 0; g < G; ++g) {
        float total = totals[j * G + g];
        for (int64_t r = i; r < D; ++r) total += q_[g][r] * k[j * D + r];
        total *= b_.scale;
        if (b_.softcap > 0) total = std::tanh(total / b_.softcap) * b_.softcap;
        s[g * wide + j] = visible_ && !visible_[t + j] ? -__builtin_inff() : total;
      }
    }
  }

  // Scores become weights; return what these are to be multiplied with so that they sum to one.
  float weigh(float* s, int64_t wide) const {
    std::fill(s + count_, s + wide, -__builtin_inff());
    vf most = load(s), total{};
    for (int64_t t = W; t < wide; t += W) most = vmax(most, load(s + t));
    const float top = max(most);
    if (top == -__builtin_inff()) {
      std::fill(s, s + wide, 0.0f);
      return 0.0f;
    }
    for (int64_t t = 0; t < wide; t += W) {
      vf e = exp(load(s + t) - top);
      store(s + t, e);
      total += e;
    }
    return 1.0f / sum(total);
  }

  // Elements [i, i + N * W) of the results.
  template <int N>
  void gather(const float* s, int64_t wide, const float* weights, int64_t i,
              float* const* out) const {
    vf acc[G][N] = {};
    for (int64_t t = 0; t < count_; ++t) {
      const float* v = values_ + t * b_.head_dim + i;
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        vf value = load(v + n * W);
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) acc[g][n] += s[g * wide + t] * value;
      }
    }
    for (int g = 0; g < G; ++g) {
      for (int n = 0; n < N; ++n) store(out[g] + i + n * W, acc[g][n] * weights[g]);
    }
  }

  const Block& b_;
  const float* const* q_;
  const float *keys_, *values_;
  const uint8_t* visible_;
  const int64_t count_;
};

// The same for many queries: those of `count` tokens from `begin` on, in all heads that share a key
// head. Scores are products with the keys, and results products with the values.
class Attention {
 public:
  void run(const Block& b, const float* queries, int64_t query_stride, const float* keys,
           const float* values, const uint8_t* visible, int64_t begin, int64_t count, float* out,
           int64_t out_stride) {
    const int64_t D = b.head_dim, G = b.heads / b.kv_heads, rows = G * count;
    const int64_t last = b.held + begin + count - 1;
    const int64_t first = first_seen(b, b.held + begin), depth = last - first + 1;
    const int64_t wide = (depth + W - 1) / W * W;
    rows_.resize(rows);
    inverse_.resize(rows);
    scores_.resize(rows * wide);
    results_.resize(rows * D);
    for (int64_t i = 0; i < rows; ++i) {
      rows_[i].f32 = queries + (begin + i % count) * query_stride + i / count * D;
    }
    Matrix k{};
    k.data = keys + first * D;
    k.rows = depth, k.cols = D, k.kind = F32;
    gemm(k, rows_.data(), rows, scores_.data(), wide, 0, depth);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = b.held + begin + i % count;
      inverse_[i] = weights(b, scores_.data() + i * wide, visible ? visible + first : nullptr,
                            first_seen(b, at) - first, at - first + 1, wide);
    }
    weigh(scores_.data(), wide, rows, depth, values + first * D, D, results_.data(), D);
    for (int64_t i = 0; i < rows; ++i) {
      float* to = out + (begin + i % count) * out_stride + i / count * D;
      for (int64_t d = 0; d < D; ++d) to[d] = results_[i * D + d] * inverse_[i];
    }
  }

 private:
  static int64_t first_seen(const Block& b, int64_t at) {
    return b.window && at >= b.window ? at - b.window + 1 : 0;
  }

  // Turn a row of scores into weights, zeros outside [begin, end); return what they are to be
  // multiplied with so that they sum to one.
  static float weights(const Block& b, float* s, const uint8_t* visible, int64_t begin,
                       int64_t end, int64_t wide) {
    const int64_t upto = (end + W - 1) / W * W;
    for (int64_t t = begin / W * W; t < upto; t += W) {
      vf v = load(s + t) * b.scale;
      store(s + t, b.softcap > 0 ? tanh(v / b.softcap) * b.softcap : v);
    }
    std::fill(s + begin / W * W, s + begin, -__builtin_inff());
    std::fill(s + end, s + upto, -__builtin_inff());
    for (int64_t t = begin; visible && t < end; ++t) {
      if (!visible[t]) s[t] = -__builtin_inff();
    }
    vf most = splat(-__builtin_inff()), total{};
    for (int64_t t = begin / W * W; t < upto; t += W) most = vmax(most, load(s + t));
    const float top = max(most);
    std::fill(s, s + begin / W * W, 0.0f);
    std::fill(s + upto, s + wide, 0.0f);
    if (top == -__builtin_inff()) {
      std::fill(s, s + upto, 0.0f);
      return 0.0f;
    }
    for (int64_t t = begin / W * W; t < upto; t += W) {
      vf e = exp(load(s + t) - top);
      store(s + t, e);
      total += e;
    }
    return 1.0f / sum(total);
  }

  std::vector<Activation> rows_;
  std::vector<float> scores_, results_, inverse_;
};

// The buffers of one call: shared by the team, and each thread's own.
struct Shared {
  std::vector<float> qkv, attended, added, hidden;
  int64_t qkv_size, attended_size, hidden_size;
};

class Worker {
  static constexpr int64_t TOGETHER = 4;  // heads

 public:
  Worker(Shared& shared, float* x, int64_t rows, int64_t width, int64_t batch, int thread, int team,
         Barrier& barrier)
      : s_(shared), x_(x), rows_(rows), H_(width), S_(rows / batch), batch_(batch),
        thread_(thread), team_(team), barrier_(barrier) {}

  void run(const Block& b) {
    attention_inputs(b);
    barrier_.wait();
    place_keys(b);
    barrier_.wait();
    attention(b);
    barrier_.wait();
    // A parallel block's MLP reads the stream as it was before attention.
    if (b.parallel) {
      mlp_inputs(b);
      barrier_.wait();
    }
    add(b, b.output, s_.attended, s_.attended_size, b.after_attention);
    if (!b.parallel) mlp_inputs(b);
    barrier_.wait();
    add(b, b.down, s_.hidden, s_.hidden_size, b.after_mlp);
  }

  void finish(const Norm& norm) {
    if (norm.kind == 0) return;
    Range mine = share(rows_, thread_, team_);
    for (int64_t r = mine.begin; r < mine.end; ++r) normalize(norm, x_ + r * H_, x_ + r * H_, H_);
  }

 private:
  // The rows of `from` as the product reads them, normed; each thread prepares its own.
  const Activation* prepare(const float* from, int64_t stride, int64_t cols, const Norm* norm,
                            bool integer) {
    integer = integer && (rows_ < GEMM_TOKENS || gemm_rounds(I8));
    int64_t wide = padded(cols), words = integer ? activation_words(cols) : 0;
    normed_.resize(rows_ * wide);
    activations_.resize(rows_);
    words_.resize(rows_ * words);
    for (int64_t r = 0; r < rows_; ++r) {
      const float* row = from + r * stride;
      if (norm && norm->kind) {
        normalize(*norm, row, normed_.data() + r * wide, cols);
        row = normed_.data() + r * wide;
      }
      activations_[r] = activation(row, words_.data() + r * words, cols);
      if (integer) quantize(activations_[r], cols);
    }
    set_ = new_set();
    return activations_.data();
  }

  // This thread's rows of a product, into columns of out, with what adapters add.
  void multiply(const Linear& w, const Activation* x, float* out, int64_t stride, Range r) {
    times(w, x, out, stride, r);
    for (const LowRank* low = w.adds; low != w.adds + w.count; ++low) {
      add_low_rank(*low, w.cols, x, out, stride, r);
    }
  }

  void add_low_rank(const LowRank& low, int64_t cols, const Activation* x, float* out,
                    int64_t stride, Range r) {
    const int64_t wide = padded(low.rank), size = r.end - r.begin;
    if (!size) return;
    low_.assign(rows_ * wide, 0.0f);
    more_.resize(rows_ * size);
    lows_.resize(rows_);
    Matrix a{}, b{};
    a.data = low.a, a.rows = low.rank, a.cols = cols;
    b.data = low.b + r.begin * low.rank, b.rows = size, b.cols = low.rank;
    times(a, x, low_.data(), wide, {0, low.rank});
    for (int64_t row = 0; row < rows_; ++row) {
      const bool counts = !low.sequences || low.sequences[row / S_];
      float* values = low_.data() + row * wide;
      for (int64_t i = 0; i < low.rank; ++i) values[i] = counts ? values[i] * low.scale : 0.0f;
      lows_[row].f32 = values;
    }
    times(b, lows_.data(), more_.data(), size, {0, size});
    for (int64_t row = 0; row < rows_; ++row) {
      each(out + row * stride + r.begin, more_.data() + row * size, 0, size,
           [](vf y, vf v) { return y + v; });
    }
  }

  void times(const Matrix& w, const Activation* x, float* out, int64_t stride, Range r) {
    if (rows_ >= GEMM_TOKENS) {
      gemm(w, x, rows_, out, stride, r.begin, r.end, x == activations_.data() ? set_ : 0);
    } else {
      product(w, x, static_cast<int>(rows_), out, stride, r.begin, r.end);
    }
  }

  void attention_inputs(const Block& b) {
    bool integer = is_integer(b.query.kind) || is_integer(b.key.kind) || is_integer(b.value.kind);
    const Activation* x = prepare(x_, H_, H_, &b.before_attention, integer);
    float* out = s_.qkv.data();
    for (const Linear* w : {&b.query, &b.key, &b.value}) {
      multiply(*w, x, out, s_.qkv_size, share(w->rows, thread_, team_, 8));
      out += w->rows;
    }
  }

  // Norms and positions of queries and keys, and the new keys and values into the cache.
  void place_keys(const Block& b) {
    const int64_t D = b.head_dim, N = b.heads, K = b.kv_heads;
    if (b.whole_norms) {  // one norm over all heads: by one thread, before any head is rotated
      if (thread_ == 0) {
        for (int64_t r = 0; r < rows_; ++r) {
          float* q = s_.qkv.data() + r * s_.qkv_size;
          normalize(b.query_norm, q, q, N * D);
          normalize(b.key_norm, q + N * D, q + N * D, K * D);
        }
      }
      barrier_.wait();
    }
    Range mine = share(rows_ * (N + K), thread_, team_);
    for (int64_t task = mine.begin; task < mine.end; ++task) {
      int64_t r = task / (N + K), n = task % (N + K), sequence = r / S_, s = r % S_;
      float* head = s_.qkv.data() + r * s_.qkv_size + n * D;
      const Norm& norm = n < N ? b.query_norm : b.key_norm;
      if (norm.kind && !b.whole_norms) normalize(norm, head, head, D);
      if (b.pairs) {
        int64_t at = ((b.angle_rows == 1 ? 0 : sequence) * S_ + s) * b.pairs;
        rotate(b, head, b.cos + at, b.sin + at);
      }
      if (n < N) continue;
      int64_t k = n - N, at = ((sequence * K + k) * b.capacity + b.held + s) * D;
      const float* value = s_.qkv.data() + r * s_.qkv_size + (N + K + k) * D;
      std::copy(head, head + D, b.keys + at);
      std::copy(value, value + D, b.values + at);
    }
  }

  void attention(const Block& b) {
    const int64_t D = b.head_dim, N = b.heads, K = b.kv_heads;
    if (S_ >= GEMM_TOKENS) return attention_of_many(b);
    scores_.resize(TOGETHER * (b.held + S_ + W));
    Range mine = share(rows_ * N, thread_, team_);
    for (int64_t task = mine.begin; task < mine.end;) {
      int64_t r = task / N, n = task % N, group = n / (N / K), sequence = r / S_;
      int64_t last = b.held + r % S_;
      int64_t first = b.window && last >= b.window ? last - b.window + 1 : 0;
      int64_t at = (sequence * K + group) * b.capacity * D;
      const uint8_t* visible = b.visible ? b.visible + sequence * (b.held + S_) : nullptr;
      // Heads of the same keys; the last one again where there is no code for so few.
      int64_t count = std::min({(group + 1) * (N / K) - n, mine.end - task, TOGETHER});
      const float* q[TOGETHER];
      float* out[TOGETHER];
      for (int64_t i = 0; i < TOGETHER; ++i) {
        int64_t head = n + std::min(i, count - 1);
        q[i] = s_.qkv.data() + r * s_.qkv_size + head * D;
        out[i] = s_.attended.data() + r * s_.attended_size + head * D;
      }
      auto attend = [&](auto heads) { heads.run(scores_.data(), out); };
      const float *keys = b.keys + at, *values = b.values + at;
      if (count > 2) {
        attend(Heads<4>(b, q, keys, values, visible, first, last));
      } else if (count == 2) {
        attend(Heads<2>(b, q, keys, values, visible, first, last));
      } else {
        attend(Heads<1>(b, q, keys, values, visible, first, last));
      }
      task += count;
    }
  }

  void attention_of_many(const Block& b) {
    const int64_t D = b.head_dim, K = b.kv_heads, G = b.heads / K;
    const int64_t each = std::max<int64_t>(4, 96 / G), parts = (S_ + each - 1) / each;
    // In turns, the longest first: a later query sees more keys.
    for (int64_t task = thread_; task < batch_ * K * parts; task += team_) {
      int64_t begin = (parts - 1 - task / (batch_ * K)) * each, sequence = task % (batch_ * K) / K;
      int64_t k = task % K, at = (sequence * K + k) * b.capacity * D, row = sequence * S_;
      many_.run(b, s_.qkv.data() + row * s_.qkv_size + k * G * D, s_.qkv_size, b.keys + at,
                b.values + at, b.visible ? b.visible + sequence * (b.held + S_) : nullptr, begin,
                std::min(each, S_ - begin),
                s_.attended.data() + row * s_.attended_size + k * G * D, s_.attended_size);
    }
  }

  void mlp_inputs(const Block& b) {
    bool gated = b.gate.data != nullptr;
    bool integer = is_integer(b.up.kind) || (gated && is_integer(b.gate.kind));
    const Activation* x = prepare(x_, H_, H_, &b.before_mlp, integer);
    Range mine = share(b.up.rows, thread_, team_, W);
    multiply(b.up, x, s_.hidden.data(), s_.hidden_size, mine);
    if (gated) {
      gate_.resize(rows_ * s_.hidden_size);
      multiply(b.gate, x, gate_.data(), s_.hidden_size, mine);
    }
    for (int64_t r = 0; r < rows_; ++r) {
      float* up = s_.hidden.data() + r * s_.hidden_size;
      const float* gate = gated ? gate_.data() + r * s_.hidden_size : up;
      each(up, gate, mine.begin, mine.end, [&](vf u, vf g) {
        vf a = activate(b.activation, g);
        return gated ? a * u : a;
      });
    }
  }

  // x += residual * norm(from w); every thread sees the whole of x afterwards.
  void add(const Block& b, const Linear& w, const std::vector<float>& from, int64_t cols,
           const Norm& norm) {
    const Activation* a = prepare(from.data(), cols, w.cols, nullptr, is_integer(w.kind));
    Range mine = share(H_, thread_, team_, 8);
    multiply(w, a, s_.added.data(), H_, mine);
    if (norm.kind) {
      barrier_.wait();
      normed_.resize(rows_ * padded(H_));
    }
    for (int64_t r = 0; r < rows_; ++r) {
      const float* y = s_.added.data() + r * H_;
      if (norm.kind) {
        normalize(norm, y, normed_.data(), H_);
        y = normed_.data();
      }
      each(x_ + r * H_, y, mine.begin, mine.end, [&](vf x, vf v) { return x + v * b.residual; });
    }
    barrier_.wait();
  }

  Shared& s_;
  float* x_;
  const int64_t rows_, H_, S_, batch_;
  const int thread_, team_;
  Barrier& barrier_;
  std::vector<float> normed_, words_, scores_, gate_, low_, more_;
  std::vector<Activation> activations_, lows_;
  int64_t set_ = 0;  // what `gemm` knows these activations by
  Attention many_;
};

}  // namespace
}  // namespace hf

HF_EXPORT void hf_widen(const hf::Widening* vectors, int64_t count) {
  for (const hf::Widening* v = vectors; v != vectors + count; ++v) {
    hf::Matrix m{};
    m.data = v->source;
    m.rows = 1, m.cols = v->count, m.kind = static_cast<int32_t>(v->kind);
    hf::dequantize_row(m, 0, v->to);
  }
}

// x [batch * tokens, width] float32, in and out; `last` is applied behind the blocks.
HF_EXPORT void hf_blocks(const hf::Block* blocks, int64_t count, const hf::Norm* last, float* x,
                         int64_t batch, int64_t tokens, int64_t width) {
  using namespace hf;
  int64_t rows = batch * tokens;
  Shared shared{};
  for (int64_t i = 0; i < count; ++i) {
    const Block& b = blocks[i];
    shared.qkv_size = std::max(shared.qkv_size, b.query.rows + b.key.rows + b.value.rows);
    shared.attended_size = std::max(shared.attended_size, b.output.cols);
    shared.hidden_size = std::max(shared.hidden_size, b.up.rows);
  }
  shared.qkv.resize(rows * shared.qkv_size);
  shared.attended.resize(rows * shared.attended_size);
  shared.hidden.resize(rows * shared.hidden_size);
  shared.added.resize(rows * width);
  // Threads that wait for one another must all be running: no more than the runtime has.
  int threads = max_threads();
  Barrier* barrier = nullptr;
  std::atomic<Barrier*> made{nullptr};
  parallel(threads, [&](int thread, int team) {
    if (thread == 0) {
      barrier = new Barrier(team);
      made.store(barrier, std::memory_order_release);
    }
    Barrier* b = nullptr;
    while (!(b = made.load(std::memory_order_acquire))) {
    }
    Worker worker(shared, x, rows, width, batch, thread, team, *b);
    for (int64_t i = 0; i < count; ++i) worker.run(blocks[i]);
    worker.finish(*last);
  });
  delete barrier;
}
