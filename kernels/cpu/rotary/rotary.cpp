// Rotary positions: each pair of a head's first elements turns by its position's angle,
//   (a, b) -> (a cos - b sin, b cos + a sin);
// backward turns the other way. Heads may lie anywhere in memory with their elements side by side,
// so a projection's [B, S, N, D] is read, and its gradient written, without a copy.
#include "../common/exports.h"
#include "../common/rows.h"

using namespace hf;

namespace {

void halves(const float* x, const float* cos, const float* sin, float sign, float* y, int64_t pairs) {
  each_vector(pairs, [&](int64_t i, auto load, auto store) {
    vf a = load(x + i), b = load(x + pairs + i), c = load(cos + i), s = load(sin + i) * sign;
    store(y + i, a * c - b * s);
    store(y + pairs + i, b * c + a * s);
  });
}

void interleaved(const float* x, const float* cos, const float* sin, float sign, float* y,
                 int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    float a = x[2 * i], b = x[2 * i + 1], c = cos[i], s = sin[i] * sign;
    y[2 * i] = a * c - b * s;
    y[2 * i + 1] = b * c + a * s;
  }
}

}  // namespace

struct Heads {
  int64_t batch, head, position;  // distances in floats
};

// x, y [B, N, S, D] as their strides say; cos, sin [B or 1, S, pairs], `angles` floats from one
// sample to the next; sign -1 turns back.
HF_EXPORT void hf_rotary(const float* x, const Heads* from, const float* cos, const float* sin,
                         int64_t angles, float sign, int crossed, float* y, const Heads* to,
                         int64_t B, int64_t N, int64_t S, int64_t D, int64_t pairs) {
  parallel(threads_for(B * N * S * D), [&](int thread, int team) {
    Range r = share(B * S, thread, team);
    for (int64_t i = r.begin; i < r.end; ++i) {
      int64_t b = i / S, s = i % S;
      const float *c = cos + b * angles + s * pairs, *si = sin + b * angles + s * pairs;
      for (int64_t n = 0; n < N; ++n) {
        const float* in = x + b * from->batch + n * from->head + s * from->position;
        float* out = y + b * to->batch + n * to->head + s * to->position;
        (crossed ? interleaved : halves)(in, c, si, sign, out, pairs);
        for (int64_t d = 2 * pairs; d < D; ++d) out[d] = in[d];
      }
    }
  });
}
