// y = x w^T + bias for a few tokens, one call a weight; and rows of an embedding.
#include <vector>

#include "../common/exports.h"
#include "../common/parallel.h"
#include "gemm.h"

using namespace hf;

// x [tokens, cols] float32, y [tokens, rows] float32.
HF_EXPORT void hf_linear(const Matrix* w, const float* x, float* y, int64_t tokens) {
  thread_local std::vector<float> words;
  std::vector<Activation> rows(tokens);
  const bool many = tokens >= GEMM_TOKENS;
  const bool rounds = is_integer(w->kind) && (!many || gemm_rounds(w->kind));
  int64_t each = rounds ? activation_words(w->cols) : 0;
  words.resize(tokens * each);
  for (int64_t m = 0; m < tokens; ++m) {
    rows[m] = activation(x + m * w->cols, words.data() + m * each, w->cols);
    if (each) quantize(rows[m], w->cols);
  }
  // A thread for less than this many bytes costs more than it brings.
  constexpr int64_t WORTH = 32768;
  int64_t worth = w->rows * row_bytes(*w) / WORTH + 1;
  int threads = max_threads();
  threads = worth < threads ? static_cast<int>(worth) : threads;
  parallel(threads, [&](int thread, int team) {
    Range r = share(w->rows, thread, team, 8);
    if (many) return gemm(*w, rows.data(), tokens, y, w->rows, r.begin, r.end);
    product(*w, rows.data(), static_cast<int>(tokens), y, w->rows, r.begin, r.end);
  });
}

// out [count, cols] float32: the rows of w that ids name, or the first ones if ids is null. The
// caller has checked the ids.
HF_EXPORT void hf_rows(const Matrix* w, const int64_t* ids, int64_t count, float* out) {
  constexpr int64_t WORTH = 65536;  // weights that pay for a thread
  int64_t worth = count * w->cols / WORTH + 1;
  int threads = max_threads();
  parallel(worth < threads ? static_cast<int>(worth) : threads, [&](int thread, int team) {
    Range r = share(count, thread, team);
    for (int64_t i = r.begin; i < r.end; ++i) {
      dequantize_row(*w, ids ? ids[i] : i, out + i * w->cols);
    }
  });
}

// Whether many tokens of a kind are rounded to 8 bits, as few are.
HF_EXPORT int hf_rounds(int32_t kind) { return gemm_rounds(kind); }
