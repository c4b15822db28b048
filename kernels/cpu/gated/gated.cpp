// act(gate) * up, forward and backward, in one pass each: da = g up act'(gate), du = g act(gate).
// The backward pass computes the activation again, so that nothing but gate and up is kept.
#include "../common/exports.h"
#include "../common/rows.h"

using namespace hf;

namespace {

// value and slope of an activation
struct Pair {
  vf value, slope;
};

struct Silu {
  static Pair at(vf x) {
    vf s = 1.0f / (1.0f + exp(-x));
    return {x * s, s * (1.0f + x * (1.0f - s))};
  }
};

struct Gelu {
  static Pair at(vf x) {
    vf cdf = 0.5f * (1.0f + erf(x * 0.70710678f));
    return {x * cdf, cdf + x * (0.39894228f * exp(x * x * -0.5f))};
  }
};

struct GeluTanh {
  static Pair at(vf x) {
    vf t = tanh(0.79788456f * (x + 0.044715f * x * x * x));
    vf inner = 0.79788456f * (1.0f + 0.134145f * x * x);
    return {0.5f * x * (1.0f + t), 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner};
  }
};

struct Relu {
  static Pair at(vf x) {
    vf one = x > splat(0) ? splat(1.0f) : splat(0.0f);
    return {x > splat(0) ? x : splat(0.0f), one};
  }
};

template <class Act>
void forward(const float* gate, const float* up, int64_t stride, float* y, int64_t rows,
             int64_t size) {
  parallel(threads_for(rows * size), [&](int thread, int team) {
    Range r = share(rows, thread, team);
    for (int64_t row = r.begin; row < r.end; ++row) {
      const float *a = gate + row * stride, *u = up + row * stride;
      float* to = y + row * size;
      each_vector(size, [&](int64_t i, auto load, auto store) {
        store(to + i, Act::at(load(a + i)).value * load(u + i));
      });
    }
  });
}

template <class Act>
void backward(const float* gate, const float* up, int64_t stride, const float* g, float* da,
              float* du, int64_t rows, int64_t size) {
  parallel(threads_for(rows * size), [&](int thread, int team) {
    Range r = share(rows, thread, team);
    for (int64_t row = r.begin; row < r.end; ++row) {
      const float *a = gate + row * stride, *u = up + row * stride, *from = g + row * size;
      float *to_a = da + row * size, *to_u = du + row * size;
      each_vector(size, [&](int64_t i, auto load, auto store) {
        Pair p = Act::at(load(a + i));
        vf gi = load(from + i);
        store(to_a + i, gi * load(u + i) * p.slope);
        store(to_u + i, gi * p.value);
      });
    }
  });
}

}  // namespace

// gate, up: rows of `size` floats, `stride` apart; the others are dense. act: 0 silu, 1 gelu,
// 2 gelu by tanh, 3 relu.
HF_EXPORT void hf_gated(int act, const float* gate, const float* up, int64_t stride, float* y,
                        int64_t rows, int64_t size) {
  auto run = act == 0   ? forward<Silu>
             : act == 1 ? forward<Gelu>
             : act == 2 ? forward<GeluTanh>
                        : forward<Relu>;
  run(gate, up, stride, y, rows, size);
}

HF_EXPORT void hf_gated_backward(int act, const float* gate, const float* up, int64_t stride,
                                 const float* g, float* da, float* du, int64_t rows, int64_t size) {
  auto run = act == 0   ? backward<Silu>
             : act == 1 ? backward<Gelu>
             : act == 2 ? backward<GeluTanh>
                        : backward<Relu>;
  run(gate, up, stride, g, da, du, rows, size);
}
