// Products of numbers rounded to bfloat16, summed in float32: where the processor has AMX, tiles of
// 16 x 16 sums meet 32 columns in one instruction; elsewhere the same arithmetic in plain code,
// which only tests ask for.
//
// Operands are packed into strips of 32 rows: two tiles a step of 32 columns, in words that hold two
// neighbouring columns. The left operand's tile is [row, word], the right one's [word, row].
#pragma once

#include "matrix.h"

namespace hf {

// [rows, depth]: item (i, k) is lines[i].f32[k] if there are lines; else data[i * stride + k], or
// data[k * stride + i] where it lies across.
struct Operand {
  const Activation* lines;
  const void* data;
  int64_t stride;
  bool across, half;  // half: bfloat16, else float32
};

enum class Side { LEFT, RIGHT };

constexpr int64_t STRIP = 32;        // rows of a strip
constexpr int64_t STEP_WORDS = 512;  // of a strip, for 32 columns

inline int64_t strips(int64_t rows) { return (rows + STRIP - 1) / STRIP; }
inline int64_t strip_words(int64_t depth) { return strips(depth) * STEP_WORDS; }

// Rows [row, row + 32) of an operand that has `rows`, columns [k, k + depth), zeros behind both.
void pack_strip(const Operand& x, Side side, int64_t row, int64_t rows, int64_t k, int64_t depth,
                int32_t* out);

// Multiplies strips; a thread has one while it works.
class Strips {
 public:
  Strips();
  ~Strips();
  Strips(const Strips&) = delete;
  Strips& operator=(const Strips&) = delete;

  // c[rows, cols], at most 32 of each, gets or (with `add`) is increased by the product.
  void multiply(const int32_t* left, const int32_t* right, int64_t depth, float* c, int64_t stride,
                int64_t rows, int64_t cols, bool add) const;
};

// `gemm` for bfloat16 weights, with activations rounded to bfloat16.
void gemm_halves(const Matrix& w, const Activation* x, int64_t tokens, float* y, int64_t stride,
                 int64_t begin, int64_t end, int64_t set);

}  // namespace hf
