// 16 vectors of 16 words, turned over or added up in registers.
#pragma once

#include "../common/simd.h"

namespace hf {

// Lanes h and more of the result come from b, the others from a: one stage of a transposition.
template <int H>
inline void swap_halves(vi& a, vi& b) {
  constexpr auto from = [](int lane, bool upper) {
    bool high = lane & H;
    return upper ? (high ? W + lane : lane + H) : (high ? W + lane - H : lane);
  };
  vi low, high;
  for (int i = 0; i < W; ++i) low[i] = from(i, false), high[i] = from(i, true);
  vi first = __builtin_shuffle(a, b, low);
  b = __builtin_shuffle(a, b, high);
  a = first;
}

template <int H>
inline void swap_stage(vi* v) {
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) {
    if (!(i & H)) swap_halves<H>(v[i], v[i + H]);
  }
}

// Of 2 H vectors, the first H hold the sums of lanes that a transposition would put together.
template <int H>
inline void add_stage(vi* v) {
#pragma GCC unroll 8
  for (int i = 0; i < H; ++i) {
    swap_halves<H>(v[i], v[i + H]);
    v[i] = (vi)((vf)v[i] + (vf)v[i + H]);
  }
}

// v[i][j] becomes v[j][i].
inline void transpose(vi* v) {
  swap_stage<8>(v);
  swap_stage<4>(v);
  swap_stage<2>(v);
  swap_stage<1>(v);
}

// Lane i is the sum of v[i].
inline vf sums(const vf* v) {
  vi part[W];
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) part[i] = (vi)v[i];
  add_stage<8>(part);
  add_stage<4>(part);
  add_stage<2>(part);
  add_stage<1>(part);
  return (vf)part[0];
}

}  // namespace hf
