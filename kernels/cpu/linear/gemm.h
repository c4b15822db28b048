// Products for many tokens: y = x w^T + bias, weights read as they are stored.
//
// The arithmetic limits these, so weights are unpacked once for all tokens, a panel of rows at a
// time that stays in the second cache, in the order in which the inner loop wants them.
//
// Floating kinds: a panel is [cols, 32 rows] float32; a tile of 12 tokens times 32 rows stays in
// registers. Integer kinds, where a level has VNNI: a panel is [cols / 4, 32 rows, 4 bytes], which
// meets the activations rounded to 8 bits, as `product` has them, with 64 products an instruction;
// elsewhere they are unpacked to float32. bfloat16 meets activations rounded to bfloat16 where a level
// has AMX: see halves.h.
#pragma once

#include <vector>

#include "matrix.h"

namespace hf {

// From so many tokens on it is faster than `product`.
constexpr int64_t GEMM_TOKENS = 17;

// Rows [begin, end) of w, all tokens: y[m * stride + r]. Activations are packed first, but not again
// by a thread whose last call had the same `set`: a number of `new_set` that stands for them.
void gemm(const Matrix& w, const Activation* x, int64_t tokens, float* y, int64_t stride,
          int64_t begin, int64_t end, int64_t set = 0);

// A number that this thread has not had before.
int64_t new_set();

// Activations in the order of one family of kinds, kept while a caller multiplies the same ones.
template <class T>
struct Kept {
  std::vector<T> items;
  int64_t set = 0;
  // Whether they are to be packed, now as those of `wanted`.
  bool stale(int64_t wanted) {
    const bool same = wanted && set == wanted;
    set = wanted;
    return !same;
  }
};

// Whether `gemm` rounds the activations that meet a kind.
bool gemm_rounds(int32_t kind);

// out[m, n] = sum over t of p[m, t] * v[t, n]: p [tokens, depth] with rows `p_stride` apart, v
// [depth, size] contiguous, out with rows `out_stride` apart. One thread.
void weigh(const float* p, int64_t p_stride, int64_t tokens, int64_t depth, const float* v,
           int64_t size, float* out, int64_t out_stride);

}  // namespace hf
