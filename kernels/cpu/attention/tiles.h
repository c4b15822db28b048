// The inner products of attention, on vectors of the level's own width.
//
// A tile keeps ROWS x COLS vectors of sums in registers: 8 x 3 with 32 registers of AVX-512 (24 sums,
// 3 vectors of B, the rest for elements of A), 6 x 2 with 16 registers. For each step of the sum it
// loads COLS vectors of B and ROWS elements of A, so that loads stay below half of the multiply-adds.
//
// 64-byte vectors of simd.h live in memory where registers are smaller, hence another type here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "../common/simd.h"

namespace hf::attention {

#if defined(__AVX512F__)
constexpr int NW = 16, ROWS = 8, COLS = 3;
#elif defined(__AVX__)
constexpr int NW = 8, ROWS = 6, COLS = 2;
#else
constexpr int NW = 4, ROWS = 6, COLS = 2;
#endif
typedef float nf __attribute__((vector_size(NW * 4)));
typedef int32_t ni __attribute__((vector_size(NW * 4)));

inline nf nload(const float* p) {
  nf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void nstore(float* p, nf v) { std::memcpy(p, &v, sizeof v); }

inline nf nsplat(float x) { return x - nf{}; }

inline nf nmax(nf a, nf b) {
#if defined(__AVX512F__)
  return (nf)_mm512_max_ps((__m512)a, (__m512)b);
#else
  return a > b ? a : b;
#endif
}

// 2**x to 2e-7, for x up to 127; 0 below -125; NaN for NaN.
inline nf exp2(nf x) {
#if defined(__AVX512F__)
  // What is masked to zero here would else be denormal, which costs the processor 150 cycles.
  __mmask16 large = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-125.0f), _CMP_NLT_UQ);
  nf n = (nf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  nf r = x - n;
#else
  // Adding 1.5 * 2**23 rounds to an integer, which then stands in the lowest bits.
  const float magic = 12582912.0f;
  nf t = x + magic;
  nf r = x - (t - magic);
#endif
  nf p = nsplat(1.3276460813e-3f);
  p = p * r + 9.6755418926e-3f;
  p = p * r + 5.5507134646e-2f;
  p = p * r + 2.4022120237e-1f;
  p = p * r + 6.9314694405e-1f;
  p = p * r + 1.0f;
#if defined(__AVX512F__)
  return (nf)_mm512_maskz_scalef_ps(large, (__m512)p, (__m512)n);
#else
  nf y = (nf)((ni)p + (((ni)t) << 23));
  return x < -125.0f ? nsplat(0.0f) : y;
#endif
}

// sums[r][c] += sum over t < count of a[r * ar + t * at] * b[t * bt + c * NW ...]
template <int R, int C>
inline __attribute__((always_inline)) void multiply(nf (&sums)[R][C], const float* a, int64_t ar,
                                                    int64_t at, const float* b, int64_t bt,
                                                    int64_t count) {
  for (int64_t t = 0; t < count; ++t) {
    nf column[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) column[c] = nload(b + c * NW);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      nf x = nsplat(a[r * ar]);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) sums[r][c] += x * column[c];
    }
    a += at;
    b += bt;
  }
}

struct Product {
  const float* a;
  int64_t ar, at;  // strides of a between rows of the result and between steps of the sum
  const float* b;
  int64_t bt;  // stride of b between steps
  int64_t count;
  float* out;
  int64_t ld;          // between rows of out
  const float* scale;  // out is multiplied by this vector first; nullptr for 1
  bool add;            // to what out holds
};

template <int R, int C>
void tile(const Product& p, const float* a, const float* b, float* out, const float* scale) {
  nf sums[R][C];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) sums[r][c] = nf{};
  }
  multiply<R, C>(sums, a, p.ar, p.at, b, p.bt, p.count);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* o = out + r * p.ld;
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      nf sum = sums[r][c];
      if (p.add) {
        nf old = nload(o + c * NW);
        sum += scale ? old * nload(scale + c * NW) : old;
      }
      nstore(o + c * NW, sum);
    }
  }
}

template <int C>
void tile_rows(int rows, const Product& p, const float* a, const float* b, float* out,
               const float* scale) {
  switch (rows) {
    case 1: return tile<1, C>(p, a, b, out, scale);
    case 2: return tile<2, C>(p, a, b, out, scale);
    case 3: return tile<3, C>(p, a, b, out, scale);
    case 4: return tile<4, C>(p, a, b, out, scale);
    case 5: return tile<5, C>(p, a, b, out, scale);
    case 6: return tile<6, C>(p, a, b, out, scale);
    case 7: return tile<7, C>(p, a, b, out, scale);
    default: return tile<ROWS, C>(p, a, b, out, scale);
  }
}

// All of `rows` x `vectors` of out. Columns of tiles are as wide as they come: 3, or 2 + 2 for 4.
inline void product(const Product& p, int64_t rows, int64_t vectors) {
  for (int64_t r = 0; r < rows; r += ROWS) {
    int height = static_cast<int>(std::min<int64_t>(ROWS, rows - r));
    for (int64_t c = 0; c < vectors;) {
      int64_t left = vectors - c;
      int width = static_cast<int>(left >= COLS && left != 4 ? COLS : std::min<int64_t>(left, 2));
      const float* a = p.a + r * p.ar;
      const float* b = p.b + c * NW;
      float* out = p.out + r * p.ld + c * NW;
      const float* scale = p.scale ? p.scale + c * NW : nullptr;
      if (width == 1) tile_rows<1>(height, p, a, b, out, scale);
      if (width == 2) tile_rows<2>(height, p, a, b, out, scale);
      if constexpr (COLS > 2) {
        if (width == 3) tile_rows<3>(height, p, a, b, out, scale);
      }
      c += width;
    }
  }
}

#if defined(__AVX512F__)
// A 16 x 16 matrix in registers becomes its transpose.
inline void transpose(__m512 (&r)[16]) {
  __m512 t[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    for (int k = 0; k < 2; ++k) {
      __m512d x = _mm512_castps_pd(t[i + k]), y = _mm512_castps_pd(t[i + 2 + k]);
      r[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
      r[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
    }
  }
  // r[4 g + c] now holds, in its 128-bit part p, column 4 p + c of rows 4 g to 4 g + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    __m512 a = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x44);
    __m512 b = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xee);
    __m512 d = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x44);
    __m512 e = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xee);
    t[c] = _mm512_shuffle_f32x4(a, d, 0x88);
    t[4 + c] = _mm512_shuffle_f32x4(a, d, 0xdd);
    t[8 + c] = _mm512_shuffle_f32x4(b, e, 0x88);
    t[12 + c] = _mm512_shuffle_f32x4(b, e, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}
#endif

// out[t * ld + i] = rows[i][t] * scale for i < n, t < count; 0 for i from n to the next multiple of 16.
inline void gather_lanes(const float* const* rows, int n, int64_t count, float scale, float* out,
                         int64_t ld) {
  for (int i0 = 0; i0 < n; i0 += 16) {
#if defined(__AVX512F__)
    for (int64_t t = 0; t < count; t += 16) {
      int left = static_cast<int>(std::min<int64_t>(16, count - t));
      __mmask16 mask = static_cast<__mmask16>((1u << left) - 1);
      __m512 r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        r[i] = i0 + i < n ? _mm512_maskz_loadu_ps(mask, rows[i0 + i] + t) : _mm512_setzero_ps();
        r[i] = _mm512_mul_ps(r[i], _mm512_set1_ps(scale));
      }
      transpose(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (i < left) _mm512_storeu_ps(out + (t + i) * ld + i0, r[i]);
      }
    }
#else
    for (int64_t t = 0; t < count; ++t) {
      for (int i = 0; i < 16; ++i) {
        out[t * ld + i0 + i] = i0 + i < n ? rows[i0 + i][t] * scale : 0.0f;
      }
    }
#endif
  }
}

// rows[i][t] = in[t * ld + i] * scale[i] for i < n, t < count.
inline void scatter_lanes(const float* in, int64_t ld, int n, int64_t count, const float* scale,
                          float* const* rows) {
  for (int i0 = 0; i0 < n; i0 += 16) {
    int high = std::min(16, n - i0);
#if defined(__AVX512F__)
    __m512 factor = _mm512_loadu_ps(scale + i0);
    for (int64_t t = 0; t < count; t += 16) {
      int left = static_cast<int>(std::min<int64_t>(16, count - t));
      __mmask16 mask = static_cast<__mmask16>((1u << left) - 1);
      __m512 r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        r[i] = i < left ? _mm512_loadu_ps(in + (t + i) * ld + i0) : _mm512_setzero_ps();
        r[i] = _mm512_mul_ps(r[i], factor);
      }
      transpose(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (i < high) _mm512_mask_storeu_ps(rows[i0 + i] + t, mask, r[i]);
      }
    }
#else
    for (int i = 0; i < high; ++i) {
      for (int64_t t = 0; t < count; ++t) rows[i0 + i][t] = in[t * ld + i0 + i] * scale[i0 + i];
    }
#endif
  }
}

}  // namespace hf::attention
