#include "halves.h"

#include <algorithm>
#include <vector>

#include "../common/exports.h"
#include "../common/parallel.h"
#include "gemm.h"
#include "transpose.h"

namespace hf {
namespace {

constexpr int64_t CHUNK = 2048;  // columns at a time: a strip of them stays in the second cache

// The nearest bfloat16 in the upper half of each word; the lower half is to be ignored.
inline vu rounded(vf v) {
  vu u = (vu)v, nearest = u + 0x7fffu + ((u >> 16) & 1u);
  return v == v ? nearest : (u | 0x400000u);
}

inline vi join(vf even, vf odd) {
  return (vi)((rounded(even) >> 16) | (rounded(odd) & 0xffff0000u));
}

inline vf widened(const float* p) { return load(p); }
inline vf widened(const uint16_t* p) { return load_bf16(p); }

// Up to 16 items, zeros behind.
template <class T>
inline vf items(const T* p, int64_t count) {
  if (count >= W) return widened(p);
  T few[W] = {};
  if (count > 0) std::copy(p, p + count, few);
  return widened(few);
}

// 32 columns of a row as 16 words.
inline vi words(const float* p, int64_t count) {
  constexpr vi EVEN = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
  vf first = items(p, count), second = items(p + W, count - W);
  return join(__builtin_shuffle(first, second, EVEN), __builtin_shuffle(first, second, EVEN + 1));
}

inline vi words(const uint16_t* p, int64_t count) {
  vi v{};
  std::memcpy(&v, p, std::min<int64_t>(count, STRIP) * sizeof *p);
  return v;
}

// One tile: 16 rows from `row`, 32 columns from `k`.
template <class T>
void pack_tile(const Operand& x, Side side, int64_t row, int64_t rows, int64_t k, int64_t end,
               int32_t* out) {
  vi v[W] = {};
  const T* data = static_cast<const T*>(x.data);
  if (x.across) {  // v[word][row]
    for (int i = 0; i < W && k + 2 * i < end; ++i) {
      const T* even = data + (k + 2 * i) * x.stride + row;
      v[i] = join(items(even, rows - row),
                  items(even + x.stride, k + 2 * i + 1 < end ? rows - row : 0));
    }
  } else {  // v[row][word]
    for (int i = 0; i < W && row + i < rows; ++i) {
      if constexpr (sizeof(T) == 4) {
        const float* line = x.lines ? x.lines[row + i].f32 : data + (row + i) * x.stride;
        v[i] = words(line + k, end - k);
      } else {
        v[i] = words(data + (row + i) * x.stride + k, end - k);
      }
    }
  }
  if (x.across != (side == Side::RIGHT)) transpose(v);
  std::memcpy(out, v, sizeof v);
}

#if defined(__AMX_BF16__)

struct alignas(64) Configuration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

#else

// What one instruction of AMX does: sums[16, 16] += left [row, word] times right [word, column].
void multiply_tile(const int32_t* left, const int32_t* right, float* sums, int64_t stride) {
  for (int i = 0; i < W; ++i) {
    vf total = load(sums + i * stride);
    for (int k = 0; k < W; ++k) {
      const uint32_t pair = static_cast<uint32_t>(left[i * W + k]);
      vu other;
      std::memcpy(&other, right + k * W, sizeof other);
      total += from_bf16(static_cast<uint16_t>(pair)) * (vf)(other << 16);
      total += from_bf16(static_cast<uint16_t>(pair >> 16)) * (vf)(other & 0xffff0000u);
    }
    store(sums + i * stride, total);
  }
}

#endif

}  // namespace

void pack_strip(const Operand& x, Side side, int64_t row, int64_t rows, int64_t k, int64_t depth,
                int32_t* out) {
  for (int64_t step = 0; step < strips(depth); ++step) {
    for (int64_t half = 0; half < 2; ++half) {
      auto* pack = x.half ? pack_tile<uint16_t> : pack_tile<float>;
      pack(x, side, row + half * W, rows, k + step * STRIP, k + depth, out);
      out += W * W;
    }
  }
}

#if defined(__AMX_BF16__)

Strips::Strips() {
  Configuration configuration;
  _tile_loadconfig(&configuration);
}

Strips::~Strips() { _tile_release(); }

#else

Strips::Strips() = default;
Strips::~Strips() = default;

#endif

void Strips::multiply(const int32_t* left, const int32_t* right, int64_t depth, float* c,
                      int64_t stride, int64_t rows, int64_t cols, bool add) const {
  const bool whole = rows == STRIP && cols == STRIP;
  alignas(64) float edge[STRIP * STRIP];
  float* sums = whole ? c : edge;
  const int64_t next = whole ? stride : STRIP;
  if (!whole && add) {
    std::fill(edge, edge + STRIP * STRIP, 0.0f);
    for (int64_t i = 0; i < rows; ++i) {
      std::copy(c + i * stride, c + i * stride + cols, edge + i * STRIP);
    }
  }
#if defined(__AMX_BF16__)
  const int64_t bytes = next * 4;
  float* lower = sums + W * next;
  if (add) {
    _tile_loadd(0, sums, bytes);
    _tile_loadd(1, sums + W, bytes);
    _tile_loadd(2, lower, bytes);
    _tile_loadd(3, lower + W, bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t step = 0; step < strips(depth); ++step) {
    const int32_t *a = left + step * STEP_WORDS, *b = right + step * STEP_WORDS;
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    _tile_loadd(5, a + W * W, 64);
    _tile_loadd(7, b + W * W, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, bytes);
  _tile_stored(1, sums + W, bytes);
  _tile_stored(2, lower, bytes);
  _tile_stored(3, lower + W, bytes);
#else
  if (!add) {
    for (int64_t i = 0; i < STRIP; ++i) std::fill(sums + i * next, sums + i * next + STRIP, 0.0f);
  }
  for (int64_t step = 0; step < strips(depth); ++step) {
    const int32_t *a = left + step * STEP_WORDS, *b = right + step * STEP_WORDS;
    for (int64_t i = 0; i < 2; ++i) {
      for (int64_t j = 0; j < 2; ++j) {
        multiply_tile(a + i * W * W, b + j * W * W, sums + (i * next + j) * W, next);
      }
    }
  }
#endif
  if (whole) return;
  for (int64_t i = 0; i < rows; ++i) {
    std::copy(edge + i * STRIP, edge + i * STRIP + cols, c + i * stride);
  }
}

void gemm_halves(const Matrix& w, const Activation* x, int64_t tokens, float* y, int64_t stride,
                 int64_t begin, int64_t end, int64_t set) {
  thread_local std::vector<int32_t> right;
  thread_local Kept<int32_t> left;
  const int64_t words = strip_words(w.cols);
  right.resize(words);
  const Operand lines{x, nullptr, 0, false, false}, weight{nullptr, w.data, w.cols, false, true};
  if (left.stale(set)) {
    left.items.resize(strips(tokens) * words);
    for (int64_t m = 0; m < tokens; m += STRIP) {
      pack_strip(lines, Side::LEFT, m, tokens, 0, w.cols, left.items.data() + m / STRIP * words);
    }
  }
  Strips tiles;
  for (int64_t row = begin; row < end; row += STRIP) {
    const int64_t cols = std::min(STRIP, end - row);
    pack_strip(weight, Side::RIGHT, row, end, 0, w.cols, right.data());
    for (int64_t m = 0; m < tokens; m += STRIP) {
      const int64_t rows = std::min(STRIP, tokens - m);
      float* out = y + m * stride + row;
      tiles.multiply(left.items.data() + m / STRIP * words, right.data(), w.cols, out, stride, rows,
                     cols, false);
      for (int64_t i = 0; w.bias && i < rows; ++i) {
        for (int64_t n = 0; n < cols; ++n) out[i * stride + n] += w.bias[row + n];
      }
    }
  }
}

}  // namespace hf

using namespace hf;

// c [M, N] = a b, both float32 and rounded to bfloat16. a is [M, K], or [K, M] where it lies across;
// b is [N, K], or [K, N] where it lies across.
HF_EXPORT void hf_multiply_halves(const float* a, int a_across, const float* b, int b_across,
                                  float* c, int64_t M, int64_t N, int64_t K) {
  const Operand left{nullptr, a, a_across ? M : K, a_across != 0, false};
  const Operand right{nullptr, b, b_across ? N : K, b_across != 0, false};
  // The smaller operand is packed as a whole, the other a strip at a time where it is used.
  const bool left_whole = M <= N;
  const Operand &kept = left_whole ? left : right, &passing = left_whole ? right : left;
  const int64_t kept_rows = left_whole ? M : N, passing_rows = left_whole ? N : M;
  const Side kept_side = left_whole ? Side::LEFT : Side::RIGHT;
  const Side passing_side = left_whole ? Side::RIGHT : Side::LEFT;
  const int64_t words = strip_words(std::min(K, CHUNK));
  thread_local std::vector<int32_t> buffer;
  buffer.resize(strips(kept_rows) * words);
  int32_t* whole = buffer.data();
  for (int64_t k = 0; k < K; k += CHUNK) {
    const int64_t depth = std::min(CHUNK, K - k);
    parallel(max_threads(), [&](int thread, int team) {
      Range r = share(strips(kept_rows), thread, team);
      for (int64_t s = r.begin; s < r.end; ++s) {
        pack_strip(kept, kept_side, s * STRIP, kept_rows, k, depth, whole + s * words);
      }
    });
    parallel(max_threads(), [&](int thread, int team) {
      thread_local std::vector<int32_t> strip;
      strip.resize(words);
      Strips tiles;
      Range r = share(strips(passing_rows), thread, team);
      for (int64_t s = r.begin; s < r.end; ++s) {
        const int64_t at = s * STRIP, count = std::min(STRIP, passing_rows - at);
        pack_strip(passing, passing_side, at, passing_rows, k, depth, strip.data());
        for (int64_t o = 0; o < kept_rows; o += STRIP) {
          const int32_t* other = whole + o / STRIP * words;
          const int64_t others = std::min(STRIP, kept_rows - o);
          if (left_whole) {
            tiles.multiply(other, strip.data(), depth, c + o * N + at, N, others, count, k > 0);
          } else {
            tiles.multiply(strip.data(), other, depth, c + at * N + o, N, count, others, k > 0);
          }
        }
      }
    });
  }
}
