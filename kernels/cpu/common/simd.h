// Vectors of 16 floats. GCC and Clang lower them to whatever the level has: one zmm register, two
// ymm, or plain code. Only what has no portable form stands behind an #if.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hf {

constexpr int W = 16;
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint16_t vh __attribute__((vector_size(32)));
typedef uint32_t vu __attribute__((vector_size(64)));

inline vf load(const float* p) {
  vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Keep GCC from reading v anew at each use, where loads are what a loop waits for.
inline void in_register([[maybe_unused]] vf& v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#endif
}

inline void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }

inline vf splat(float x) { return x - vf{}; }

// bfloat16 is the upper half of a float32. (GCC 12 widens half vectors by __builtin_convertvector in
// two parts that it puts together again, which takes as long as the memory does.)
inline vf load_bf16(const uint16_t* p) {
#if defined(__AVX512F__)
  __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
#else
  vh h;
  std::memcpy(&h, p, sizeof h);
  return (vf)(__builtin_convertvector(h, vu) << 16);
#endif
}

inline float from_bf16(uint16_t h) {
  uint32_t bits = static_cast<uint32_t>(h) << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

inline float from_f16(uint16_t h) {
#if defined(__F16C__)
  return _cvtsh_ss(h);
#else
  uint32_t sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31, fraction = h & 1023u, bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | (fraction << 13);
  } else if (exponent) {
    bits = sign | ((exponent + 112) << 23) | (fraction << 13);
  } else {  // subnormal: exact in float32
    float f = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -f : f;
  }
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
#endif
}

inline vf load_f16(const uint16_t* p) {
#if defined(__AVX512F__)
  return (vf)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__F16C__)
  auto* halves = reinterpret_cast<const __m128i*>(p);
  vf v;
  __m256 parts[2] = {_mm256_cvtph_ps(_mm_loadu_si128(halves)),
                     _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
  std::memcpy(&v, parts, sizeof v);
  return v;
#else
  vf v;
  for (int i = 0; i < W; ++i) v[i] = from_f16(p[i]);
  return v;
#endif
}

inline float sum(vf v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float s = 0;
  for (int i = 0; i < W; ++i) s += v[i];
  return s;
#endif
}

inline float max(vf v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps((__m512)v);
#else
  float m = v[0];
  for (int i = 1; i < W; ++i) m = v[i] > m ? v[i] : m;
  return m;
#endif
}

inline vf vmax(vf a, vf b) { return a > b ? a : b; }

// exp to 1 ulp or so over the range of float32; 0 below about -87.3, infinity above 88.7.
// Cody and Waite's reduction to |r| <= ln 2 / 2, then the minimax polynomial of degree 6.
inline vf exp(vf x) {
  vf clipped = x < splat(-87.33654f) ? splat(-87.33654f) : x;
  clipped = clipped > splat(88.72283f) ? splat(88.72283f) : clipped;
  vf t = clipped * 1.44269504f;
  vi n = __builtin_convertvector(t + (t < splat(0) ? splat(-0.5f) : splat(0.5f)), vi);
  vf k = __builtin_convertvector(n, vf);
  vf r = clipped - k * 0.693359375f;
  r = r + k * 2.12194440e-4f;
  vf p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 2**n in two factors: n may be 128.
  vi half = n >> 1;
  vf scale = (vf)((half + 127) << 23), rest = (vf)((n - half + 127) << 23);
  vf y = p * scale * rest;
  y = x < splat(-87.33654f) ? splat(0.0f) : y;
  y = x > splat(88.72283f) ? splat(__builtin_inff()) : y;
  return x == x ? y : x;
}

inline vf tanh(vf x) {
  vf a = x < splat(0) ? -x : x;
  vf e = exp(a * -2.0f);
  vf big = (1.0f - e) / (1.0f + e);
  // Near zero the difference above loses digits: an odd polynomial there.
  vf s = x * x;
  vf p = splat(-5.70498872745e-3f);
  p = p * s + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  vf small = p * s * a + a;
  vf y = a < splat(0.625f) ? small : big;
  y = x < splat(0) ? -y : y;
  return x == x ? y : x;
}

// erf: Abramowitz and Stegun's form is too coarse for float32; this is exp(-x*x) times a rational
// fit of erfcx in t = 1 / (1 + x / 2) (W. J. Cody's coefficients in Numerical Recipes' erfc).
inline vf erf(vf x) {
  vf a = x < splat(0) ? -x : x;
  vf t = 1.0f / (1.0f + 0.5f * a);
  vf p = splat(0.17087277f);
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  vf big = 1.0f - t * exp(p - a * a);
  vf s = x * x;  // the series, for the digits near zero
  vf q = splat(-1.0f / 1320.0f);
  q = q * s + 1.0f / 216.0f;
  q = q * s - 1.0f / 42.0f;
  q = q * s + 0.1f;
  q = q * s - 1.0f / 3.0f;
  vf small = 1.1283791671f * (q * s * a + a);
  vf y = a < splat(0.45f) ? small : big;
  return x < splat(0) ? -y : y;
}

}  // namespace hf
