// What kernels over rows share: vectors cut short at a row's end, and how many threads work pays for.
#pragma once

#include <algorithm>

#include "parallel.h"
#include "simd.h"

namespace hf {

// The first n floats from p, then zeros.
inline vf load_part(const float* p, int64_t n) {
  vf v = {};
  std::memcpy(&v, p, n * sizeof(float));
  return v;
}

inline void store_part(float* p, vf v, int64_t n) { std::memcpy(p, &v, n * sizeof(float)); }

// Call f(i, load, store) for each vector of a row of `size` floats; load(p) and store(p, v) stop at
// the end of the row.
template <class F>
inline void each_vector(int64_t size, F&& f) {
  int64_t i = 0;
  for (; i + W <= size; i += W) f(i, load, store);
  if (int64_t n = size - i) {
    f(i, [n](const float* p) { return load_part(p, n); },
      [n](float* p, vf v) { store_part(p, v, n); });
  }
}

// Threads for `items` floats: one for fewer than this many costs more than it brings.
inline int threads_for(int64_t items) {
  constexpr int64_t WORTH = 16384;
  return static_cast<int>(std::min<int64_t>(max_threads(), items / WORTH + 1));
}

}  // namespace hf
