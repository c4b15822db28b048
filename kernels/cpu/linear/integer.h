// Sums of 64 products of 8-bit integers, 4 to each of 16 lanes: lanes 0-7 hold columns 0-31 and
// lanes 8-15 columns 32-63.
#pragma once

#include "../common/simd.h"

namespace hf {

typedef int8_t vb __attribute__((vector_size(64)));
typedef uint8_t vub __attribute__((vector_size(64)));
typedef uint8_t hub __attribute__((vector_size(32)));

template <class V>
inline V load_as(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Unsigned w of at most 127, signed x.
inline vi dot_unsigned(vub w, vb x) {
#if defined(__AVX512VNNI__)
  return (vi)_mm512_dpbusd_epi32(_mm512_setzero_si512(), (__m512i)w, (__m512i)x);
#elif defined(__AVX512BW__)
  return (vi)_mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)w, (__m512i)x), _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  __m256i a[2], b[2], c[2];
  std::memcpy(a, &w, 64);
  std::memcpy(b, &x, 64);
  for (int i = 0; i < 2; ++i) {
    c[i] = _mm256_madd_epi16(_mm256_maddubs_epi16(a[i], b[i]), _mm256_set1_epi16(1));
  }
  return load_as<vi>(c);
#else
  vi s{};
  for (int i = 0; i < 64; ++i) s[i / 4] += static_cast<int>(w[i]) * x[i];
  return s;
#endif
}

// Signed w from -127 to 127, signed x.
inline vi dot_signed(vb w, vb x) {
#if defined(__AVX512VNNI__)
  // dpbusd wants one side unsigned: x + 128, less what that adds.
  __m512i shift = _mm512_set1_epi8(static_cast<char>(128));
  __m512i more = _mm512_dpbusd_epi32(_mm512_setzero_si512(),
                                     _mm512_xor_si512((__m512i)x, shift), (__m512i)w);
  __m512i less = _mm512_dpbusd_epi32(_mm512_setzero_si512(), shift, (__m512i)w);
  return (vi)_mm512_sub_epi32(more, less);
#else
  vb sign = w < 0;  // all ones where negative
  vb magnitude = (w ^ sign) - sign, signed_x = (x ^ sign) - sign;
  return dot_unsigned((vub)magnitude, signed_x);
#endif
}

// Sums of (w - OFFSET) * x for unsigned w, of at most 127 unless OFFSET is 128. `offset` holds -128
// times the sums of x.
constexpr int shift_of(int offset) { return offset >= 128 ? 0 : 1 + shift_of(2 * offset); }
template <int OFFSET>
inline vi dot_offset(vub w, vb x, vi offset) {
#if defined(__AVX512VNNI__)
  vi from{};
  if constexpr (OFFSET > 0) from = (offset >> shift_of(OFFSET));
  return (vi)_mm512_dpbusd_epi32((__m512i)from, (__m512i)w, (__m512i)x);
#else
  if constexpr (OFFSET == 0) return dot_unsigned(w, x);
  // Pairs of products of 255 and 127 would not fit the 16 bits in between.
  if constexpr (OFFSET == 128) return dot_signed((vb)(w ^ 128), x);
  return dot_unsigned(w, x) + (offset >> shift_of(OFFSET));
#endif
}

// 64 bytes from two halves. (Through memory this would wait for both stores.)
inline vub join(hub a, hub b) {
#if defined(__AVX512F__)
  return (vub)_mm512_inserti64x4(_mm512_castsi256_si512((__m256i)a), (__m256i)b, 1);
#else
  hub parts[2] = {a, b};
  return load_as<vub>(parts);
#endif
}

// Low halves of 32 bytes, then high halves: columns 0-31 and 32-63.
inline vub nibbles(const void* p) {
#if defined(__AVX512BW__)
  __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  const __m512i shift = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
  return (vub)_mm512_and_si512(_mm512_srlv_epi16(both, shift), _mm512_set1_epi8(15));
#else
  hub packed = load_as<hub>(p);
  return join(packed & 15, packed >> 4);
#endif
}

// The same of two blocks of 16 bytes: low and high halves of a, then of b.
inline vub nibbles(const void* a, const void* b) {
#if defined(__AVX512BW__)
  __m512i both = _mm512_castsi128_si512(_mm_loadu_si128(static_cast<const __m128i*>(a)));
  both = _mm512_inserti32x4(both, _mm_loadu_si128(static_cast<const __m128i*>(b)), 1);
  both = _mm512_shuffle_i64x2(both, both, 0x50);  // a, a, b, b
  const __m512i shift = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0,
                                         0x0004000400040004, 0x0004000400040004, 0, 0);
  return (vub)_mm512_and_si512(_mm512_srlv_epi16(both, shift), _mm512_set1_epi8(15));
#else
  typedef uint8_t q16 __attribute__((vector_size(16)));
  q16 first = load_as<q16>(a), second = load_as<q16>(b);
  q16 parts[4] = {(q16)(first & 15), (q16)(first >> 4), (q16)(second & 15), (q16)(second >> 4)};
  return load_as<vub>(parts);
#endif
}

// 16 in each byte whose bit is set, else 0.
inline vub fifth_bits(uint32_t a, uint32_t b) {
#if defined(__AVX512BW__)
  return (vub)_mm512_maskz_set1_epi8(a | static_cast<uint64_t>(b) << 32, 16);
#else
  typedef uint64_t v8u __attribute__((vector_size(64)));
  constexpr uint64_t COPIES = 0x0101010101010101;
  v8u spread;
  for (int i = 0; i < 4; ++i) {
    spread[i] = (a >> 8 * i & 255) * COPIES;
    spread[4 + i] = (b >> 8 * i & 255) * COPIES;
  }
  const v8u bits = 0x8040201008040201 + v8u{};
  return (vub)((vub)(spread & bits) != 0) & 16;
#endif
}

// a in lanes 0-7, b in lanes 8-15.
inline vf pair(float a, float b) {
#if defined(__AVX512F__)
  return (vf)_mm512_mask_blend_ps(0xff00, _mm512_set1_ps(a), _mm512_set1_ps(b));
#else
  return vf{a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b};
#endif
}

typedef float v8f __attribute__((vector_size(32)));

// The same from halves.
inline vf half_pair(uint16_t a, uint16_t b) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  __m256i first = _mm256_set1_epi16(static_cast<short>(a));
  __m256i both = _mm256_mask_set1_epi16(first, 0xff00, static_cast<short>(b));
  return (vf)_mm512_cvtph_ps(both);
#else
  return pair(from_f16(a), from_f16(b));
#endif
}

// v[2 * j] in lanes 0-7, v[2 * j + 1] in lanes 8-15.
inline vf neighbours(v8f v, int64_t j) {
#if defined(__AVX512F__)
  const __m512i upper = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(1), 1);
  __m512i index = _mm512_add_epi32(upper, _mm512_set1_epi32(static_cast<int>(2 * j)));
  return (vf)_mm512_permutexvar_ps(index, _mm512_castps256_ps512((__m256)v));
#else
  return pair(v[2 * j], v[2 * j + 1]);
#endif
}

// v[4 * j] in lanes 0-3, v[4 * j + 1] in lanes 4-7, ...
inline vf quads(vf v, int64_t j) {
#if defined(__AVX512F__)
  const __m512i fours = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
  __m512i index = _mm512_add_epi32(fours, _mm512_set1_epi32(static_cast<int>(4 * j)));
  return (vf)_mm512_permutexvar_ps(index, (__m512)v);
#else
  vf out;
  for (int i = 0; i < W; ++i) out[i] = v[4 * j + i / 4];
  return out;
#endif
}

// The first `count` of 16, zeros behind them; nothing further is read.
inline vf load_some(const float* p, int64_t count) {
  if (count >= W) return load(p);
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1 << count) - 1), p);
#else
  vf v{};
  std::memcpy(&v, p, count * sizeof(float));
  return v;
#endif
}

inline vf widen_some(const uint8_t* p, int64_t count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  __mmask16 mask = static_cast<__mmask16>(count >= W ? 0xffff : (1 << count) - 1);
  return (vf)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, p)));
#else
  vf v{};
  for (int i = 0; i < (count < W ? count : W); ++i) v[i] = p[i];
  return v;
#endif
}

// Bytes to floats and back. GCC 12 takes __builtin_convertvector for these apart, byte by byte.
inline vf widen_signed(const uint8_t* p) {
#if defined(__AVX512F__)
  __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
#else
  vf v;
  for (int i = 0; i < W; ++i) v[i] = static_cast<int8_t>(p[i]);
  return v;
#endif
}

inline v8f widen_eight(const void* p) {
#if defined(__AVX2__)
  return (v8f)_mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
#else
  v8f v;
  for (int i = 0; i < 8; ++i) v[i] = static_cast<const uint8_t*>(p)[i];
  return v;
#endif
}

inline void narrow(vf whole, int8_t* out) {
#if defined(__AVX512F__)
  __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32((__m512)whole));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
#else
  for (int i = 0; i < W; ++i) out[i] = static_cast<int8_t>(whole[i]);
#endif
}

inline float sum(v8f v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

inline vf to_float(vi v) { return __builtin_convertvector(v, vf); }

}  // namespace hf
