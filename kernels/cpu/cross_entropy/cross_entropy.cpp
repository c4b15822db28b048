// Cross entropy of rows of logits: log(sum of exp(x - max)) - (x[label] - max), and its gradient
// g (exp(x - max) / sum - [label]). Forward reads the logits once from memory (a row of 262,144
// words is 1 MB and stays in the second-level cache) and keeps two numbers a row.
#include <cmath>
#include <limits>

#include "../common/exports.h"
#include "../common/rows.h"

using namespace hf;

namespace {

float largest(const float* x, int64_t size) {
  vf m[4];
  for (auto& v : m) v = splat(-std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + 4 * W <= size; i += 4 * W) {
    for (int k = 0; k < 4; ++k) m[k] = vmax(load(x + i + k * W), m[k]);
  }
  float best = max(vmax(vmax(m[0], m[1]), vmax(m[2], m[3])));
  for (; i < size; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

// Lanes add up a few thousand terms each; over blocks of them the sum is in double.
double sum_of_exponentials(const float* x, float top, int64_t size) {
  constexpr int64_t BLOCK = 4096;
  double total = 0;
  for (int64_t begin = 0; begin < size; begin += BLOCK) {
    int64_t end = std::min(begin + BLOCK, size), i = begin;
    vf a = {}, b = {};
    for (; i + 2 * W <= end; i += 2 * W) {
      a += exp(load(x + i) - top);
      b += exp(load(x + i + W) - top);
    }
    total += sum(a + b);
    for (; i < end; ++i) total += std::exp(x[i] - top);
  }
  return total;
}

}  // namespace

// x [rows, size]; a label below 0 does not count. losses, tops, totals [rows].
HF_EXPORT void hf_cross_entropy(const float* x, const int64_t* labels, float* losses, float* tops,
                                float* totals, int64_t rows, int64_t size) {
  parallel(threads_for(rows * size), [&](int thread, int team) {
    Range r = share(rows, thread, team);
    for (int64_t row = r.begin; row < r.end; ++row) {
      const float* from = x + row * size;
      losses[row] = tops[row] = totals[row] = 0;
      if (labels[row] < 0) continue;
      tops[row] = largest(from, size);
      double total = sum_of_exponentials(from, tops[row], size);
      totals[row] = static_cast<float>(total);
      losses[row] = static_cast<float>(std::log(total)) - (from[labels[row]] - tops[row]);
    }
  });
}

// g [rows]: gradient of each row's loss. dx [rows, size].
HF_EXPORT void hf_cross_entropy_backward(const float* x, const int64_t* labels, const float* tops,
                                         const float* totals, const float* g, float* dx,
                                         int64_t rows, int64_t size) {
  parallel(threads_for(rows * size), [&](int thread, int team) {
    Range r = share(rows, thread, team);
    for (int64_t row = r.begin; row < r.end; ++row) {
      const float* from = x + row * size;
      float* to = dx + row * size;
      if (labels[row] < 0) {
        std::fill(to, to + size, 0.0f);
        continue;
      }
      float scale = g[row] / totals[row], top = tops[row];
      each_vector(size, [&](int64_t i, auto load, auto store) {
        store(to + i, exp(load(from + i) - top) * scale);
      });
      to[labels[row]] -= g[row];
    }
  });
}
