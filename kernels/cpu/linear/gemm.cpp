#include "gemm.h"

#include <algorithm>

#include "halves.h"
#include "kinds.h"
#include "transpose.h"

namespace hf {
namespace {

#if defined(__AVX512F__)
constexpr int TILE = 12;  // tokens of a tile; two vectors of rows each: 24 of 32 registers
#else
constexpr int TILE = 2;
#endif
constexpr int PANEL = 2 * W;    // rows of w
constexpr int64_t DEPTH = 768;  // columns at a time: 96 KB of a panel, in the second cache

// Tokens by TILE: [tile, cols, TILE], zeros where tokens end.
void pack_tokens(const Activation* x, int64_t tokens, int64_t cols, std::vector<float>& out) {
  const int64_t tiles = (tokens + TILE - 1) / TILE;
  out.resize(tiles * cols * TILE + W);
  for (int64_t t = 0; t < tiles; ++t) {
    float* tile = out.data() + t * cols * TILE;
    const int64_t here = std::min<int64_t>(TILE, tokens - t * TILE);
    for (int64_t k = 0; k < cols; k += W) {
      const int64_t wide = std::min<int64_t>(W, cols - k);
      vi v[W] = {};
      for (int64_t i = 0; i < here; ++i) {
        const float* row = x[t * TILE + i].f32 + k;
        v[i] = (vi)(wide == W ? load(row) : load_some(row, wide));
      }
      transpose(v);
      // Whole vectors: what is too much lies where the next column is written, or behind the last.
      for (int64_t j = 0; j < wide; ++j) store(tile + (k + j) * TILE, (vf)v[j]);
    }
  }
}

// y[TILE, 32] (+)= x[depth, TILE] times panel[depth, 32].
inline void tile(const float* x, const float* panel, int64_t depth, bool first, const float* bias,
                 float* y, int64_t stride, int64_t tokens, int64_t rows) {
  vf acc[TILE][2] = {};
  for (int64_t k = 0; k < depth; ++k) {
    vf a = load(panel + k * PANEL), b = load(panel + k * PANEL + W);
#pragma GCC unroll 16
    for (int i = 0; i < TILE; ++i) {
      vf v = splat(x[k * TILE + i]);
      acc[i][0] += v * a;
      acc[i][1] += v * b;
    }
  }
  if (rows == PANEL && tokens >= TILE) {
    vf from[2] = {bias ? load(bias) : vf{}, bias ? load(bias + W) : vf{}};
#pragma GCC unroll 16
    for (int i = 0; i < TILE; ++i) {
      float* out = y + i * stride;
      store(out, acc[i][0] + (first ? from[0] : load(out)));
      store(out + W, acc[i][1] + (first ? from[1] : load(out + W)));
    }
    return;
  }
  for (int64_t i = 0; i < std::min<int64_t>(TILE, tokens); ++i) {
    float sums[PANEL];
    store(sums, acc[i][0]);
    store(sums + W, acc[i][1]);
    float* out = y + i * stride;
    for (int64_t n = 0; n < rows; ++n) {
      out[n] = sums[n] + (first ? (bias ? bias[n] : 0.0f) : out[n]);
    }
  }
}

// Rows [row, row + 32) of w as float32 [depth, 32], from column k; rows from `end` on repeat.
template <class T>
void pack_panel(const T* data, int64_t cols, int64_t row, int64_t end, int64_t k, int64_t depth,
                float* panel) {
  for (int half = 0; half < 2; ++half) {
    const T* p[W];
    for (int r = 0; r < W; ++r) p[r] = data + std::min(row + half * W + r, end - 1) * cols + k;
    int64_t j = 0;
    for (; j + W <= depth; j += W) {
      vi v[W];
#pragma GCC unroll 16
      for (int r = 0; r < W; ++r) v[r] = (vi)widen(p[r] + j);
      transpose(v);
#pragma GCC unroll 16
      for (int r = 0; r < W; ++r) store(panel + (j + r) * PANEL + half * W, (vf)v[r]);
    }
    for (; j < depth; ++j) {
      for (int r = 0; r < W; ++r) panel[j * PANEL + half * W + r] = widen1(p[r][j]);
    }
  }
}

thread_local Kept<float> floats;

template <class T>
void panels(const T* data, const Matrix& w, const float* packed, int64_t tokens, float* y,
            int64_t stride, int64_t begin, int64_t end) {
  thread_local std::vector<float> panel;
  // Equal parts: each reads and writes the results again.
  const int64_t parts = (w.cols + DEPTH - 1) / DEPTH;
  const int64_t most = ((w.cols + parts - 1) / parts + W - 1) / W * W;
  panel.resize(most * PANEL);
  for (int64_t row = begin; row < end; row += PANEL) {
    const float* bias = w.bias ? w.bias + row : nullptr;
    for (int64_t k = 0; k < w.cols; k += most) {
      const int64_t depth = std::min(most, w.cols - k);
      pack_panel(data, w.cols, row, end, k, depth, panel.data());
      for (int64_t m = 0; m < tokens; m += TILE) {
        tile(packed + (m * w.cols + k * TILE), panel.data(), depth, k == 0, bias,
             y + m * stride + row, stride, tokens - m, std::min<int64_t>(PANEL, end - row));
      }
    }
  }
}

// Integer kinds without VNNI: 32 rows at a time become float32.
template <class T>
void unpacked(const Matrix& w, const float* packed, int64_t tokens, float* y, int64_t stride,
              int64_t begin, int64_t end) {
  thread_local std::vector<float> rows;
  rows.resize(PANEL * w.cols);
  for (int64_t row = begin; row < end; row += PANEL) {
    const int64_t here = std::min<int64_t>(PANEL, end - row);
    for (int64_t r = 0; r < here; ++r) T::row(w, row + r, rows.data() + r * w.cols);
    Matrix part = w;
    part.bias = w.bias ? w.bias + row : nullptr;
    panels(rows.data(), part, packed, tokens, y + row, stride, 0, here);
  }
}

#if defined(__AVX512VNNI__)

constexpr int FEW = 6;  // tokens of a tile: an integer and a float sum of two vectors of rows each

// The activations of a tile for one group of columns.
template <int COLS>
struct Tokens {
  int32_t q[COLS / 4][FEW];  // 4 columns each
  float scale[FEW], sum[FEW];
  int32_t from[FEW];  // what a weight's offset adds, negated
};

// 32 rows of weights for one group of columns.
template <int COLS>
struct Weights {
  vi u[COLS / 4][2];
  vf scale[2], least[2];
};

template <class T>
constexpr int group_of() {
  return std::is_same_v<T, BlockQ6_K> ? 16 : 32;
}

template <class T, int COLS = group_of<T>()>
void pack_rounded(const Activation* x, int64_t tokens, int64_t cols, std::vector<char>& out) {
  const int64_t tiles = (tokens + FEW - 1) / FEW, groups = (cols + 63) / 64 * (64 / COLS);
  out.assign(tiles * groups * sizeof(Tokens<COLS>), 0);
  auto* to = reinterpret_cast<Tokens<COLS>*>(out.data());
  for (int64_t m = 0; m < tokens; ++m) {
    const int i = static_cast<int>(m % FEW);
    for (int64_t g = 0; g < groups; ++g) {
      Tokens<COLS>& t = to[m / FEW * groups + g];
      int32_t offset = 0;
      for (int c = 0; c < COLS / 4; ++c) {
        t.q[c][i] = load_as<int32_t>(x[m].q + g * COLS + 4 * c);
        offset += x[m].offset[g * COLS / 4 + c];
      }
      t.scale[i] = x[m].lanes[g * COLS / 4];
      t.sum[i] = t.scale[i] * static_cast<float>(offset) * -0.0078125f;
      t.from[i] = T::OFFSET ? offset >> shift_of(T::OFFSET ? T::OFFSET : 1) : 0;
    }
  }
}

// Groups of columns k to k + 63 of rows [row, row + 32).
template <class T, int COLS = group_of<T>()>
void pack_chunk(typename T::Row* rows, int64_t k, Weights<COLS>* out) {
  const int j = static_cast<int>(k % T::STEP / 64);
  for (int half = 0; half < 2; ++half) {
    vi u[W];
    float scale[64 / COLS][W], least[64 / COLS][W];
    for (int r = 0; r < W; ++r) {
      typename T::Row& row = rows[half * W + r];
      if (j == 0) row.begin(k);
      u[r] = (vi)row.weights(k, j);
      vf s = row.scale(k, j), l{};
      if constexpr (T::MINIMA == OF_ROW) l = s * row.zero();
      if constexpr (T::MINIMA == OF_BLOCK) l = row.minimum(j);
      for (int g = 0; g < 64 / COLS; ++g) {
        scale[g][r] = s[g * COLS / 4];
        least[g][r] = l[g * COLS / 4];
      }
    }
    transpose(u);
    for (int g = 0; g < 64 / COLS; ++g) {
      for (int c = 0; c < COLS / 4; ++c) out[g].u[c][half] = u[g * COLS / 4 + c];
      out[g].scale[half] = load(scale[g]);
      out[g].least[half] = load(least[g]);
    }
  }
}

template <class T, int COLS = group_of<T>()>
void rounded_tile(const Tokens<COLS>* x, const Weights<COLS>* w, int64_t groups, const float* bias,
                  float* y, int64_t stride, int64_t tokens, int64_t rows) {
  vf acc[FEW][2] = {};
  for (int64_t g = 0; g < groups; ++g) {
    const Tokens<COLS>& t = x[g];
    const Weights<COLS>& v = w[g];
    __m512i sums[FEW][2];
#pragma GCC unroll 8
    for (int i = 0; i < FEW; ++i) {
      sums[i][0] = T::OFFSET ? _mm512_set1_epi32(t.from[i]) : _mm512_setzero_si512();
      sums[i][1] = sums[i][0];
    }
#pragma GCC unroll 8
    for (int c = 0; c < COLS / 4; ++c) {
#pragma GCC unroll 8
      for (int i = 0; i < FEW; ++i) {
        __m512i q = _mm512_set1_epi32(t.q[c][i]);
        sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], (__m512i)v.u[c][0], q);
        sums[i][1] = _mm512_dpbusd_epi32(sums[i][1], (__m512i)v.u[c][1], q);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < FEW; ++i) {
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        acc[i][h] += to_float((vi)sums[i][h]) * t.scale[i] * v.scale[h];
        if (T::MINIMA != NONE) acc[i][h] -= v.least[h] * t.sum[i];
      }
    }
  }
  for (int64_t i = 0; i < std::min<int64_t>(FEW, tokens); ++i) {
    float sums[PANEL];
    store(sums, acc[i][0]);
    store(sums + W, acc[i][1]);
    for (int64_t n = 0; n < rows; ++n) y[i * stride + n] = sums[n] + (bias ? bias[n] : 0.0f);
  }
}

template <class T, int COLS = group_of<T>()>
void rounded(const Matrix& w, const Activation* x, int64_t tokens, float* y, int64_t stride,
             int64_t begin, int64_t end, int64_t set) {
  thread_local std::vector<char> buffer;
  thread_local Kept<char> packed;  // of T alone: kinds differ in what they take from a sum
  if (packed.stale(set)) pack_rounded<T>(x, tokens, w.cols, packed.items);
  auto* all = reinterpret_cast<const Tokens<COLS>*>(packed.items.data());
  const int64_t groups = (w.cols + 63) / 64 * (64 / COLS);
  buffer.resize(groups * sizeof(Weights<COLS>) + 64);
  auto at = (reinterpret_cast<uintptr_t>(buffer.data()) + 63) / 64 * 64;
  auto* panel = reinterpret_cast<Weights<COLS>*>(at);
  for (int64_t row = begin; row < end; row += PANEL) {
    typename T::Row rows[PANEL];
    for (int r = 0; r < PANEL; ++r) rows[r] = typename T::Row(w, std::min(row + r, end - 1));
    for (int64_t k = 0; k < w.cols; k += 64) pack_chunk<T>(rows, k, panel + k / COLS);
    const float* bias = w.bias ? w.bias + row : nullptr;
    for (int64_t m = 0; m < tokens; m += FEW) {
      rounded_tile<T>(all + m / FEW * groups, panel, groups, bias, y + m * stride + row, stride,
                      tokens - m, std::min<int64_t>(PANEL, end - row));
    }
  }
}

#endif

}  // namespace

int64_t new_set() {
  thread_local int64_t last = 0;
  return ++last;
}

bool gemm_rounds(int32_t kind) {
#if defined(__AMX_BF16__)
  if (kind == BF16) return true;
#endif
#if defined(__AVX512VNNI__)
  return is_integer(kind);
#else
  (void)kind;
  return false;
#endif
}

void gemm(const Matrix& w, const Activation* x, int64_t tokens, float* y, int64_t stride,
          int64_t begin, int64_t end, int64_t set) {
#if defined(__AMX_BF16__)
  if (w.kind == BF16) return gemm_halves(w, x, tokens, y, stride, begin, end, set);
#endif
  with_kind(w, [&](auto kind) {
    using T = decltype(kind);
#if defined(__AVX512VNNI__)
    if constexpr (T::INTEGER) return rounded<T>(w, x, tokens, y, stride, begin, end, set);
#endif
    Kept<float>& packed = floats;
    if (packed.stale(set)) pack_tokens(x, tokens, w.cols, packed.items);
    if constexpr (T::INTEGER) {
      unpacked<T>(w, packed.items.data(), tokens, y, stride, begin, end);
    } else {
      auto* data = static_cast<const typename T::Element*>(w.data);
      panels(data, w, packed.items.data(), tokens, y, stride, begin, end);
    }
  });
}

void weigh(const float* p, int64_t p_stride, int64_t tokens, int64_t depth, const float* v,
           int64_t size, float* out, int64_t out_stride) {
  thread_local std::vector<float> panel, packed;
  thread_local std::vector<Activation> rows;
  rows.resize(tokens);
  for (int64_t m = 0; m < tokens; ++m) rows[m].f32 = p + m * p_stride;
  pack_tokens(rows.data(), tokens, depth, packed);
  panel.resize(DEPTH * PANEL);
  for (int64_t n = 0; n < size; n += PANEL) {
    const int64_t wide = std::min<int64_t>(PANEL, size - n);
    for (int64_t k = 0; k < depth; k += DEPTH) {
      const int64_t here = std::min(DEPTH, depth - k);
      for (int64_t t = 0; t < here; ++t) {
        std::memcpy(panel.data() + t * PANEL, v + (k + t) * size + n, wide * sizeof(float));
      }
      for (int64_t m = 0; m < tokens; m += TILE) {
        tile(packed.data() + m * depth + k * TILE, panel.data(), here, k == 0, nullptr,
             out + m * out_stride + n, out_stride, tokens - m, wide);
      }
    }
  }
}

}  // namespace hf
