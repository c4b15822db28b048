// Norms over rows, forward and backward. A row stays in the first-level cache between the passes
// over it, so each moves its inputs and outputs through memory once.
//
// RMS norm: y = x r w with r = (mean(x^2) + eps)^-1/2. With h = g w its gradients are
//   dx = r (h - x r^2 mean(h x)),  dw = sum over rows of g x r.
// Layer norm: y = n w + b with n = (x - mean) r. With h = g w
//   dx = r (h - mean(h) - n mean(h n)),  dw = sum g n,  db = sum g.
#include <cmath>
#include <vector>

#include "../common/exports.h"
#include "../common/rows.h"

using namespace hf;

namespace {

struct Statistics {
  float mean, scale;
};

Statistics measure(const float* x, int64_t size, float eps, bool centred) {
  float mean = 0;
  if (centred) {
    vf total = {};
    each_vector(size, [&](int64_t i, auto load, auto) { total += load(x + i); });
    mean = sum(total) / size;
  }
  vf squares = {};
  int64_t i = 0;
  for (; i + W <= size; i += W) {
    vf d = load(x + i) - mean;
    squares += d * d;
  }
  float rest = 0;
  for (; i < size; ++i) rest += (x[i] - mean) * (x[i] - mean);
  return {mean, 1.0f / std::sqrt((sum(squares) + rest) / size + eps)};
}

template <bool centred>
void forward(const float* x, const float* w, float offset, const float* b, float eps, float* y,
             int64_t rows, int64_t size) {
  parallel(threads_for(rows * size), [&](int thread, int team) {
    Range r = share(rows, thread, team);
    for (int64_t row = r.begin; row < r.end; ++row) {
      const float* from = x + row * size;
      float* to = y + row * size;
      Statistics s = measure(from, size, eps, centred);
      each_vector(size, [&](int64_t i, auto load, auto store) {
        vf v = (load(from + i) - s.mean) * s.scale;
        if (w) v *= load(w + i) + offset;
        if (b) v += load(b + i);
        store(to + i, v);
      });
    }
  });
}

template <bool centred>
void backward(const float* x, const float* w, float offset, float eps, const float* g, float* dx,
              float* dw, float* db, int64_t rows, int64_t size) {
  int threads = threads_for(rows * size);
  // Each thread adds up its rows' part of dw and db; a cache line parts them.
  int64_t width = (size + 2 * W - 1) / W * W;
  std::vector<float> sums(dw || db ? 2 * threads * width : 0);
  parallel(threads, [&](int thread, int team) {
    Range r = share(rows, thread, team);
    float* to_w = dw ? sums.data() + 2 * thread * width : nullptr;
    float* to_b = db ? sums.data() + (2 * thread + 1) * width : nullptr;
    for (int64_t row = r.begin; row < r.end; ++row) {
      const float *from = x + row * size, *up = g + row * size;
      Statistics s = measure(from, size, eps, centred);
      vf sum_h = {}, sum_hn = {};
      each_vector(size, [&](int64_t i, auto load, auto store) {
        vf gi = load(up + i), h = gi;
        vf n = (load(from + i) - s.mean) * s.scale;
        if (w) h *= load(w + i) + offset;
        if (to_w) store(to_w + i, load(to_w + i) + gi * n);
        if (to_b) store(to_b + i, load(to_b + i) + gi);
        sum_h += h;
        sum_hn += h * n;  // beyond the row's end h is zero
      });
      if (!dx) continue;
      float mean_h = centred ? sum(sum_h) / size : 0, mean_hn = sum(sum_hn) / size;
      float* to = dx + row * size;
      each_vector(size, [&](int64_t i, auto load, auto store) {
        vf h = load(up + i), n = (load(from + i) - s.mean) * s.scale;
        if (w) h *= load(w + i) + offset;
        store(to + i, (h - mean_h - n * mean_hn) * s.scale);
      });
    }
  });
  for (int64_t i = 0; i < size; ++i) {
    float of_w = 0, of_b = 0;
    for (int t = 0; t < threads && (dw || db); ++t) {
      of_w += sums[2 * t * width + i];
      of_b += sums[(2 * t + 1) * width + i];
    }
    if (dw) dw[i] = of_w;
    if (db) db[i] = of_b;
  }
}

}  // namespace

// x, y [rows, size]; w, b [size] or null; the weight is w + offset.
HF_EXPORT void hf_norm(int centred, const float* x, const float* w, float offset, const float* b,
                       float eps, float* y, int64_t rows, int64_t size) {
  (centred ? forward<true> : forward<false>)(x, w, offset, b, eps, y, rows, size);
}

// g, dx [rows, size]; dw, db [size]; dx, dw and db may be null: not wanted.
HF_EXPORT void hf_norm_backward(int centred, const float* x, const float* w, float offset, float eps,
                                const float* g, float* dx, float* dw, float* db, int64_t rows,
                                int64_t size) {
  (centred ? backward<true> : backward<false>)(x, w, offset, eps, g, dx, dw, db, rows, size);
}
