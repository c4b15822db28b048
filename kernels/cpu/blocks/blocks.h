// What one call needs to know of the decoder blocks of a model, mirrored by layout.py.
#pragma once

#include "../linear/matrix.h"

namespace hf {

struct Norm {
  const float* weight;  // [size] or null
  const float* bias;    // [size] or null
  float eps, offset;    // the weight applied is weight + offset
  int32_t kind;         // 0 none, 1 root mean square, 2 mean and variance
  int32_t size;
};

// What an adapter adds to a product: scale * b (a x).
struct LowRank {
  const float* a;            // [rank, cols]
  const float* b;            // [rows, rank]
  const uint8_t* sequences;  // [batch], nonzero where it counts, or null: everywhere
  int64_t rank;
  float scale;
};

struct Linear : Matrix {
  const LowRank* adds;
  int64_t count;
};

struct Block {
  Norm before_attention, after_attention, before_mlp, after_mlp, query_norm, key_norm;
  Linear query, key, value, output, gate, up, down;  // gate.data null: down(act(up(x)))
  float *keys, *values;        // cache [batch, kv_heads, capacity, head_dim]
  int64_t capacity, held;      // tokens that fit, tokens there before this call
  int64_t window;              // 0: all
  const float *cos, *sin;      // [rows or tokens of one sequence, pairs]
  int64_t angle_rows;          // 1 if all sequences share the angles, else batch
  const uint8_t* visible;      // [batch, held + tokens] nonzero where a key is real, or null
  int32_t heads, kv_heads, head_dim, pairs, interleaved, activation, parallel, whole_norms;
  float scale, softcap, residual;  // softcap 0: none; residual multiplies what a part adds
};

// A small vector stored as F16 or BF16, and where its float32 goes.
struct Widening {
  const void* source;
  float* to;
  int64_t count, kind;
};

}  // namespace hf
