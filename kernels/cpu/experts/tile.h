// Sums of products of a few rows of a weight with a few rows of activations, both along their
// contiguous axis, so that neither is packed first.
#pragma once

#include <algorithm>
#include <type_traits>

#include "../common/simd.h"

namespace hf {

constexpr int ROWS = 4;   // of the weight, in registers
constexpr int BLOCK = 8;  // and in the first-level cache
#if defined(__AVX512F__)
constexpr int TOKENS = 6;  // 24 sums, 4 rows and a token are 29 of 32 registers
#else
constexpr int TOKENS = 1;
#endif

typedef float v4f __attribute__((vector_size(16)));

// The sums of four vectors.
inline v4f sums(vf a, vf b, vf c, vf d) {
#if defined(__AVX512F__)
  __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps((__m512)a, (__m512)b),
                            _mm512_unpackhi_ps((__m512)a, (__m512)b));
  __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps((__m512)c, (__m512)d),
                            _mm512_unpackhi_ps((__m512)c, (__m512)d));
  __m512 low = _mm512_shuffle_ps(ab, cd, 0x44), high = _mm512_shuffle_ps(ab, cd, 0xee);
  __m512 all = _mm512_add_ps(low, high);
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  return (v4f)_mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#else
  return v4f{sum(a), sum(b), sum(c), sum(d)};
#endif
}

// out[m][r] += sum over k in [begin, end) of x[m][k] * w[r * stride + k], for M tokens and four rows.
template <int M>
inline void tile(const float* w, int64_t stride, const float* const* x, int64_t begin, int64_t end,
                 float (*out)[BLOCK]) {
  vf acc[M][ROWS] = {};
  int64_t k = begin;
  for (; k + W <= end; k += W) {
    vf row[ROWS];
    for (int r = 0; r < ROWS; ++r) row[r] = load(w + r * stride + k);
    for (int m = 0; m < M; ++m) {
      vf v = load(x[m] + k);
      for (int r = 0; r < ROWS; ++r) acc[m][r] += row[r] * v;
    }
  }
  for (int m = 0; m < M; ++m) {
    v4f s, old;
    s = sums(acc[m][0], acc[m][1], acc[m][2], acc[m][3]);
    for (int64_t j = k; j < end; ++j) {
      for (int r = 0; r < ROWS; ++r) s[r] += w[r * stride + j] * x[m][j];
    }
    std::memcpy(&old, out[m], sizeof old);
    s += old;
    std::memcpy(out[m], &s, sizeof s);
  }
}

// out[m][r] for `count` tokens and a block of rows. Long rows go in parts, so that those of the
// block and the tokens they meet stay in the first-level cache.
inline void tiles(const float* w, int64_t stride, const float* const* x, int64_t count,
                  int64_t cols, float (*out)[BLOCK]) {
  constexpr int64_t PART = 768;
  std::memset(out, 0, count * sizeof *out);
  for (int64_t k = 0; k < cols; k += PART) {
    int64_t m = 0, end = std::min(k + PART, cols);
    auto step = [&](auto width) {
      constexpr int M = decltype(width)::value;
      for (; m + M <= count; m += M) {
        for (int r = 0; r < BLOCK; r += ROWS) {
          tile<M>(w + r * stride, stride, x + m, k, end, reinterpret_cast<float(*)[BLOCK]>(out[m] + r));
        }
      }
    };
    step(std::integral_constant<int, TOKENS>{});
    if (TOKENS > 2) step(std::integral_constant<int, 2>{});
    if (TOKENS > 1) step(std::integral_constant<int, 1>{});
  }
}

}  // namespace hf
