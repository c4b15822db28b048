// Adam's update in one pass, the sum of squares, and scaling.
//
// Compiled without contraction: products and sums are fused where, and only where, torch's CPU
// kernels fuse them, so the parameters stay torch's to the last bit.
#include <cmath>
#include <vector>

#include "../common/exports.h"
#include "../common/rows.h"

using namespace hf;

struct Adam {
  float l2, keep, weight1, beta2, weight2, rate, bias, eps;
};

namespace {

// `near` tells from which end torch's lerp goes; `top` holds AMSGrad's largest squares.
template <bool near, bool decay, bool amsgrad>
void update(const Adam& a, float* __restrict p, const float* __restrict grad, float* __restrict mean,
            float* __restrict square, float* __restrict top, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    float g = decay ? std::fma(p[i], a.l2, grad[i]) : grad[i];
    float x = p[i] * a.keep;
    float gap = g - mean[i];
    float m = near ? std::fma(gap, a.weight1, mean[i]) : std::fma(gap, a.weight1 - 1.0f, g);
    float s = std::fma(g * a.weight2, g, square[i] * a.beta2);
    mean[i] = m;
    square[i] = s;
    if (amsgrad) {
      s = s > top[i] || s != s ? s : top[i];
      top[i] = s;
    }
    float step = m * a.rate;
    p[i] = x + step / (std::sqrt(s) / a.bias + a.eps);
  }
}

}  // namespace

// top may be null. weight1 is 1 - beta1, weight2 1 - beta2, rate minus the step's size.
HF_EXPORT void hf_adam(const Adam* a, float* p, const float* grad, float* mean, float* square,
                       float* top, int64_t count) {
  bool near = a->weight1 < 0.5f, decay = a->l2 != 0;
  auto run = near ? decay ? top ? update<true, true, true> : update<true, true, false>
                          : top ? update<true, false, true> : update<true, false, false>
             : decay ? top ? update<false, true, true> : update<false, true, false>
                     : top ? update<false, false, true> : update<false, false, false>;
  parallel(threads_for(count), [&](int thread, int team) {
    Range r = share(count, thread, team, W);
    float* largest = top ? top + r.begin : nullptr;
    run(*a, p + r.begin, grad + r.begin, mean + r.begin, square + r.begin, largest, r.end - r.begin);
  });
}

// Return the sum of x * x. Blocks are added up in float32 lanes, their sums in double, so that the
// result does not depend on the number of threads.
HF_EXPORT double hf_squared_norm(const float* x, int64_t count) {
  constexpr int64_t BLOCK = 16384;
  int64_t blocks = (count + BLOCK - 1) / BLOCK;
  std::vector<double> sums(blocks);
  parallel(threads_for(count), [&](int thread, int team) {
    Range r = share(blocks, thread, team);
    for (int64_t b = r.begin; b < r.end; ++b) {
      const float* from = x + b * BLOCK;
      vf s = {}, t = {};
      int64_t size = std::min(BLOCK, count - b * BLOCK), i = 0;
      for (; i + 2 * W <= size; i += 2 * W) {
        vf u = load(from + i), v = load(from + i + W);
        s += u * u;
        t += v * v;
      }
      double rest = 0;
      for (; i < size; ++i) rest += from[i] * from[i];
      sums[b] = sum(s + t) + rest;
    }
  });
  double total = 0;
  for (double s : sums) total += s;
  return total;
}

HF_EXPORT void hf_scale(float* x, float factor, int64_t count) {
  parallel(threads_for(count), [&](int thread, int team) {
    Range r = share(count, thread, team, W);
    for (int64_t i = r.begin; i < r.end; ++i) x[i] *= factor;
  });
}
