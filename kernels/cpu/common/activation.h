// The elementwise functions of feed-forward blocks.
#pragma once

#include "simd.h"

namespace hf {

enum Act : int32_t { LINEAR = 0, SILU = 1, GELU = 2, GELU_TANH = 3, RELU = 4, RELU2 = 5, QUICK_GELU = 6 };

inline vf activate(int32_t kind, vf x) {
  switch (kind) {
    case SILU: return x / (1.0f + exp(-x));
    case GELU: return 0.5f * x * (1.0f + erf(x * 0.70710678f));
    case GELU_TANH: return 0.5f * x * (1.0f + tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case RELU: return vmax(x, splat(0));
    case RELU2: return vmax(x, splat(0)) * vmax(x, splat(0));
    case QUICK_GELU: return x / (1.0f + exp(x * -1.702f));
    default: return x;
  }
}

}  // namespace hf
