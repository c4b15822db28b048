#include "matrix.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kinds.h"
#include "transpose.h"

namespace hf {
namespace {

constexpr int TOGETHER = 8;        // tokens that share a read of the weights
constexpr int64_t NEAR = 1 << 18;  // bytes of rows that wait in the second cache for further ones
constexpr int64_t FAR = 8192;      // bytes that a thread reads while the memory answers

// The tokens for which there is code: the least that is not less.
constexpr int together(int tokens) { return tokens > 4 ? TOGETHER : tokens > 2 ? 4 : tokens; }

// Bytes ahead of the reading that are fetched: whole groups of rows, or less than a large one.
inline int64_t ahead(int64_t group) {
  return group > 2 * FAR ? FAR : (FAR + group - 1) / group * group;
}

// out[r][m]: the sum of v[r][m].
template <int R, int M>
inline void add_up(const vf (*v)[M], float (*out)[M]) {
  if constexpr (R * M == W) {
    store(out[0], sums(v[0]));
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) out[r][m] = sum(v[r][m]);
    }
  }
}

// Rows [row, row + R) with M tokens: out[r][m]. Several rows share each read of x, and their sums
// do not depend on one another, which hides the latency of adding.
template <class T, int M, int R>
void floating(const Matrix& w, int64_t row, const Activation* x, float (*out)[M]) {
  constexpr int U = R * M < 8 ? 2 : 1;
  const T* p[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) p[r] = static_cast<const T*>(w.data) + (row + r) * w.cols;
  const int64_t next = ahead(w.cols * sizeof(T) * R);
  vf acc[R][M][U] = {};
  int64_t k = 0;
  for (; k + W * U <= w.cols; k += W * U) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const char* at = reinterpret_cast<const char*>(p[r] + k) + next;
      for (int b = 0; b < static_cast<int>(W * U * sizeof(T)); b += 64) __builtin_prefetch(at + b);
    }
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) {
      vf v[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) v[r] = widen(p[r] + k + W * u);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        vf a = load(x[m].f32 + k + W * u);
        in_register(a);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][m][u] += v[r] * a;
      }
    }
  }
  for (; k + W <= w.cols; k += W) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      vf v = widen(p[r] + k);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) acc[r][m][0] += v * load(x[m].f32 + k);
    }
  }
  vf totals[R][M];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      totals[r][m] = acc[r][m][0];
      for (int u = 1; u < U; ++u) totals[r][m] += acc[r][m][u];
    }
  }
  add_up<R, M>(totals, out);
  for (; k < w.cols; ++k) {
    for (int r = 0; r < R; ++r) {
      for (int m = 0; m < M; ++m) out[r][m] += widen1(p[r][k]) * x[m].f32[k];
    }
  }
}

// The sums of x over each group of the columns of `w` take so much room, for whole vectors.
inline int64_t group_words(const Matrix& w) { return (w.cols / w.group + W - 1) / W * W; }

// The same for integer kinds. `sums`: of x over each group of the weights, for minima of rows. ROW: one scale a row, which is applied last.
template <class T, bool ROW, int M, int R>
void integer(const Matrix& w, int64_t row, const Activation* x, const float* sums,
             float (*out)[M]) {
  const int64_t bytes = T::bytes(w), next = ahead(bytes * R), lines = T::STEP * bytes / w.cols;
  typename T::Row rows[R];
  const char* p[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    rows[r] = typename T::Row(w, row + r);
    p[r] = static_cast<const char*>(w.data) + (row + r) * bytes + next;
  }
  vf acc[R][M] = {};
  v8f less[R][M] = {};
  for (int64_t k = 0; k < w.cols; k += T::STEP) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      rows[r].begin(k);
      for (int64_t b = 0; b < lines; b += 64) __builtin_prefetch(p[r] + b);
      p[r] += lines;
    }
#pragma GCC unroll 4
    for (int j = 0; j < T::STEP / 64; ++j) {
      const int64_t at = k + 64 * j;
      vub v[R];
      vf scale[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        v[r] = rows[r].weights(at, j);
        if (!ROW) scale[r] = rows[r].scale(at, j);
      }
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        vb q = load_as<vb>(x[m].q + at);
        vi offset = load_as<vi>(x[m].offset + at / 4);
        vf lanes = load(x[m].lanes + at / 4);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          vf dots = to_float(dot_offset<T::OFFSET>(v[r], q, offset));
          acc[r][m] += dots * (ROW ? lanes : lanes * scale[r]);
        }
      }
    }
    if constexpr (T::MINIMA == OF_BLOCK) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) less[r][m] += rows[r].minima(x[m].sums + k / 32);
      }
    }
  }
  if constexpr (T::MINIMA == OF_ROW) {
    const int64_t words = group_words(w);
    for (int64_t g = 0; g < words; g += W) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        vf least = rows[r].minima(g);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) acc[r][m] -= least * load(sums + m * words + g);
      }
    }
  }
  add_up<R, M>(acc, out);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      if (ROW) out[r][m] *= w.scales[row + r];
      if constexpr (T::MINIMA == OF_BLOCK) out[r][m] -= sum(less[r][m]);
    }
  }
}

template <class T, int M, int R>
void some(const Matrix& w, int64_t row, const Activation* x, const float* sums, float (*out)[M]) {
  if constexpr (!T::INTEGER) {
    floating<typename T::Element, M, R>(w, row, x, out);
  } else if constexpr (std::is_same_v<T, Int8>) {
    w.group == w.cols ? integer<T, true, M, R>(w, row, x, sums, out)
                      : integer<T, false, M, R>(w, row, x, sums, out);
  } else {
    integer<T, false, M, R>(w, row, x, sums, out);
  }
}

// M tokens, of which the first `tokens` are wanted.
template <class T, int M>
void rows(const Matrix& w, const Activation* x, const float* sums, int tokens, float* y,
          int64_t stride, int64_t begin, int64_t end) {
  constexpr int R = M <= 2 ? 4 : W / M;
  float out[R][M];
  int64_t r = begin;
  while (r < end) {
    int here = r + R <= end ? R : 1;
    here == R ? some<T, M, R>(w, r, x, sums, out) : some<T, M, 1>(w, r, x, sums, out);
    for (int i = 0; i < here; ++i) {
      float bias = w.bias ? w.bias[r + i] : 0.0f;
      for (int m = 0; m < tokens; ++m) y[m * stride + r + i] = out[i][m] + bias;
    }
    r += here;
  }
}

// Sums of x over each group of columns, for weights whose minima are those of groups.
const float* group_sums(const Matrix& w, const Activation* x, int tokens) {
  if (w.kind != I4) return nullptr;
  thread_local std::vector<float> sums;
  const int64_t groups = w.cols / w.group, each = w.group / 32;
  const int64_t words = group_words(w);
  sums.assign(tokens * words, 0.0f);
  for (int m = 0; m < tokens; ++m) {
    for (int64_t g = 0; g < groups; ++g) {
      float s = 0;
      for (int64_t i = 0; i < each; ++i) s += x[m].sums[g * each + i];
      sums[m * words + g] = s;
    }
  }
  return sums.data();
}

}  // namespace

int64_t row_bytes(const Matrix& w) {
  int64_t bytes = 0;
  with_kind(w, [&](auto kind) { bytes = kind.bytes(w); });
  return bytes;
}

void quantize(const Activation& x, int64_t cols) {
  for (int64_t k = 0; k < padded(cols); k += 32) {
    float part[32] = {};
    int64_t here = cols - k < 32 ? (cols > k ? cols - k : 0) : 32;
    std::memcpy(part, x.f32 + k, here * sizeof(float));
    vf a = load(part), b = load(part + W);
    float most = max(vmax(vmax(a, -a), vmax(b, -b)));
    float scale = most / 127.0f, inverse = most > 0 ? 127.0f / most : 0.0f;
    // Adding 1.5 * 2**23 rounds to the nearest integer, halves to the even one.
    const vf round = splat(12582912.0f);
    vf qa = a * inverse + round - round, qb = b * inverse + round - round;
    narrow(qa, x.q + k);
    narrow(qb, x.q + k + W);
    v8f lanes = scale - v8f{};
    std::memcpy(x.lanes + k / 4, &lanes, sizeof lanes);
    x.sums[k / 32] = scale * sum(qa + qb);
    if (k % 64) {
      vi offset = -dot_unsigned(vub{} + 128, load_as<vb>(x.q + k - 32));
      std::memcpy(x.offset + (k - 32) / 4, &offset, sizeof offset);
    }
  }
}

void product(const Matrix& w, const Activation* x, int tokens, float* y, int64_t stride,
             int64_t begin, int64_t end) {
  // A number of tokens that has no code of its own is made up to one that has by the last token.
  const int last = (tokens - 1) / TOGETHER * TOGETHER, most = last + together(tokens - last);
  thread_local std::vector<Activation> all;
  if (most > tokens) {
    all.assign(x, x + tokens);
    all.resize(most, x[tokens - 1]);
    x = all.data();
  }
  const float* sums = group_sums(w, x, most);
  const int64_t words = sums ? group_words(w) : 0;
  with_kind(w, [&](auto kind) {
    using T = decltype(kind);
    const int64_t near = std::max<int64_t>(TOGETHER, NEAR / T::bytes(w) / TOGETHER * TOGETHER);
    for (int64_t row = begin; row < end; row += near) {
      const int64_t stop = std::min(end, row + near);
      for (int m = 0; m < tokens; m += TOGETHER) {
        const int here = std::min(TOGETHER, tokens - m);
        const float* s = sums ? sums + m * words : nullptr;
        float* out = y + m * stride;
        switch (together(here)) {
          case 8: rows<T, 8>(w, x + m, s, here, out, stride, row, stop); break;
          case 4: rows<T, 4>(w, x + m, s, here, out, stride, row, stop); break;
          case 2: rows<T, 2>(w, x + m, s, here, out, stride, row, stop); break;
          default: rows<T, 1>(w, x + m, s, here, out, stride, row, stop);
        }
      }
    }
  });
}

void dequantize_row(const Matrix& w, int64_t row, float* out) {
  with_kind(w, [&](auto kind) { kind.row(w, row, out); });
}

}  // namespace hf
