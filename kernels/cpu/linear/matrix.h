// Weight matrices [rows, cols] in the formats that are read as they are stored, and the product of
// a few rows of activations with them.
//
//   y[m, r] = sum over k of x[m, k] * w[r, k] + bias[r]
//
// A token's product reads each weight once, so its time is the bytes of the weights over the
// memory's bandwidth: formats with fewer bytes are proportionally faster. Floating weights meet
// float32 activations. Integer weights meet activations rounded to 8 bits in groups of 32 with a
// scale each, so that 64 products take one instruction (VNNI); sums are exact integers until they
// are scaled.
#pragma once

#include <cstdint>

namespace hf {

enum Kind : int32_t {
  F32 = 0,
  BF16 = 1,
  F16 = 2,
  I8 = 3,    // int8 [rows, cols] with float32 scales [rows, cols / group]; group: a power of two or cols
  I4 = 4,    // two in a byte: of each 64 columns, the first 32 in the low halves
  Q4_0 = 5,  // blocks of GGUF from here on
  Q8_0 = 6,
  Q4_K = 7,
  Q5_K = 8,
  Q6_K = 9,
  Q5_0 = 10,
};

struct Matrix {
  const void* data;
  const float* scales;     // I8, I4: [rows, cols / group]
  const uint8_t* zeros;    // I4: [rows, cols / group]; null: 8 throughout
  const float* bias;       // [rows] or null
  int64_t rows, cols;
  int32_t kind, group;
};

// The activations of one token, in the forms that the kinds need. Buffers are the caller's.
struct Activation {
  const float* f32;  // [cols]
  int8_t* q;         // [cols up to a multiple of 256], as all below
  float* lanes;      // a scale for each of the 16 partial sums of 64 columns: [cols / 64, 16]
  int32_t* offset;   // -128 times the sum of the 4 q of each partial sum: [cols / 64, 16]
  float* sums;       // scale times the sum of q, for each 32 columns
};

inline bool is_integer(int32_t kind) { return kind >= I8; }
inline int64_t padded(int64_t cols) { return (cols + 255) / 256 * 256; }

// A row of activations in a buffer of 4-byte words, of which it takes `activation_words`.
inline int64_t activation_words(int64_t cols) { return padded(cols) * 25 / 32; }
inline Activation activation(const float* f32, float* words, int64_t cols) {
  int64_t wide = padded(cols);
  return {f32, reinterpret_cast<int8_t*>(words), words + wide / 4,
          reinterpret_cast<int32_t*>(words + wide / 2), words + wide / 4 * 3};
}

// Bytes of one row.
int64_t row_bytes(const Matrix& w);

// Fill all but f32 from it; columns from `cols` on are zero.
void quantize(const Activation& x, int64_t cols);

// y[m * stride + r] for rows [begin, end); up to 8 tokens share each read of the weights.
void product(const Matrix& w, const Activation* x, int tokens, float* y, int64_t stride,
             int64_t begin, int64_t end);

// The row as float32, for embeddings and for larger products.
void dequantize_row(const Matrix& w, int64_t row, float* out);

}  // namespace hf
