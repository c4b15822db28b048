#include "matrix.h"

#include "integer.h"

namespace hf {
namespace {

// Each kind: the bytes of one row, and the sums of one row with M tokens.

template <class T>
vf widen(const T* p);
template <>
inline vf widen(const float* p) {
  return load(p);
}
struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};
template <>
inline vf widen(const bf16* p) {
  return load_bf16(&p->bits);
}
template <>
inline vf widen(const f16* p) {
  return load_f16(&p->bits);
}
inline float widen1(float x) { return x; }
inline float widen1(bf16 x) { return from_bf16(x.bits); }
inline float widen1(f16 x) { return from_f16(x.bits); }

template <class T>
struct Floating {
  static int64_t bytes(const Matrix& w) { return w.cols * static_cast<int64_t>(sizeof(T)); }

  template <int M>
  static void sums(const Matrix& w, int64_t row, const Activation* x, float* out) {
    const T* p = static_cast<const T*>(w.data) + row * w.cols;
    constexpr int U = M == 1 ? 4 : M == 2 ? 2 : 1;  // independent sums, to hide the latency
    vf acc[M][U] = {};
    int64_t k = 0;
    for (; k + W * U <= w.cols; k += W * U) {
      for (int u = 0; u < U; ++u) {
        __builtin_prefetch(reinterpret_cast<const char*>(p + k + W * u) + 1536);
        vf v = widen(p + k + W * u);
        for (int m = 0; m < M; ++m) acc[m][u] += v * load(x[m].f32 + k + W * u);
      }
    }
    for (; k + W <= w.cols; k += W) {
      vf v = widen(p + k);
      for (int m = 0; m < M; ++m) acc[m][0] += v * load(x[m].f32 + k);
    }
    for (int m = 0; m < M; ++m) {
      vf total = acc[m][0];
      for (int u = 1; u < U; ++u) total += acc[m][u];
      float s = sum(total);
      for (int64_t j = k; j < w.cols; ++j) s += widen1(p[j]) * x[m].f32[j];
      out[m] = s;
    }
  }

  static void row(const Matrix& w, int64_t row, float* out) {
    const T* p = static_cast<const T*>(w.data) + row * w.cols;
    for (int64_t k = 0; k < w.cols; ++k) out[k] = widen1(p[k]);
  }
};

// Call f(k, scales of the 16 lanes, group of column k, group of column k + 32) for 64 columns each.
template <class F>
inline void each_chunk(const Matrix& w, const float* scale, F&& f) {
  if (w.group == 32) {
    for (int64_t k = 0, g = 0; k < w.cols; k += 64, g += 2) f(k, pair(scale[g], scale[g + 1]), g, g + 1);
    return;
  }
  for (int64_t k = 0, g = 0; k < w.cols; ++g) {
    vf s = splat(scale[g]);
    for (int64_t end = k + w.group; k < end; k += 64) f(k, s, g, g);
  }
}

struct Int8 {
  static int64_t bytes(const Matrix& w) { return w.cols; }

  template <int M>
  static void sums(const Matrix& w, int64_t row, const Activation* x, float* out) {
    const int8_t* p = static_cast<const int8_t*>(w.data) + row * w.cols;
    const int64_t groups = w.cols / w.group;
    const float* scale = w.scales + row * groups;
    vf acc[M] = {};
    if (groups == 1) {
      for (int64_t k = 0; k < w.cols; k += 64) {
        __builtin_prefetch(p + k + 1024);
        vb v = load_as<vb>(p + k);
        for (int m = 0; m < M; ++m) {
          acc[m] += to_float(dot_signed(v, load_as<vb>(x[m].q + k))) * load(x[m].lanes + k / 4);
        }
      }
      for (int m = 0; m < M; ++m) out[m] = sum(acc[m]) * scale[0];
      return;
    }
    each_chunk(w, scale, [&](int64_t k, vf s, int64_t, int64_t) {
      __builtin_prefetch(p + k + 1024);
      vb v = load_as<vb>(p + k);
      for (int m = 0; m < M; ++m) {
        vf lanes = s * load(x[m].lanes + k / 4);
        acc[m] += to_float(dot_signed(v, load_as<vb>(x[m].q + k))) * lanes;
      }
    });
    for (int m = 0; m < M; ++m) out[m] = sum(acc[m]);
  }

  static void row(const Matrix& w, int64_t row, float* out) {
    const int8_t* p = static_cast<const int8_t*>(w.data) + row * w.cols;
    const float* scale = w.scales + row * (w.cols / w.group);
    for (int64_t k = 0; k < w.cols; ++k) out[k] = p[k] * scale[k / w.group];
  }
};

struct Int4 {
  static int64_t bytes(const Matrix& w) { return w.cols / 2; }

  template <int M>
  static void sums(const Matrix& w, int64_t row, const Activation* x, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * w.cols / 2;
    const int64_t groups = w.cols / w.group;
    const float* scale = w.scales + row * groups;
    const uint8_t* zero = w.zeros ? w.zeros + row * groups : nullptr;
    vf acc[M] = {};
    float less[M] = {};
    each_chunk(w, scale, [&](int64_t k, vf s, int64_t a, int64_t b) {
      __builtin_prefetch(p + k / 2 + 512);
      vub v = nibbles(load_as<hub>(p + k / 2));
      float za = scale[a] * (zero ? zero[a] : 8), zb = scale[b] * (zero ? zero[b] : 8);
      for (int m = 0; m < M; ++m) {
        vf lanes = s * load(x[m].lanes + k / 4);
        acc[m] += to_float(dot_unsigned(v, load_as<vb>(x[m].q + k))) * lanes;
        less[m] += za * x[m].sums[k / 32] + zb * x[m].sums[k / 32 + 1];
      }
    });
    for (int m = 0; m < M; ++m) out[m] = sum(acc[m]) - less[m];
  }

  static void row(const Matrix& w, int64_t row, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * w.cols / 2;
    const int64_t groups = w.cols / w.group;
    for (int64_t k = 0; k < w.cols; ++k) {
      int64_t in = k % 64, g = row * groups + k / w.group;
      int byte = p[k / 64 * 32 + in % 32], q = in < 32 ? byte & 15 : byte >> 4;
      out[k] = w.scales[g] * (q - (w.zeros ? w.zeros[g] : 8));
    }
  }
};

// GGUF: 32 columns: scale (half), then 16 bytes: columns 0-15 in the low halves, 16-31 in the high.
struct BlockQ4_0 {
  static constexpr int64_t B = 18;
  static int64_t bytes(const Matrix& w) { return w.cols / 32 * B; }

  static float scale(const uint8_t* p) { return from_f16(load_as<uint16_t>(p)); }

  template <int M>
  static void sums(const Matrix& w, int64_t row, const Activation* x, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    vf acc[M] = {};
    float less[M] = {};
    for (int64_t k = 0; k < w.cols; k += 64) {
      bool two = k + 32 < w.cols;
      const uint8_t *a = p + k / 32 * B, *b = two ? a + B : a;
      __builtin_prefetch(a + 512);
      vub v = nibbles(a + 2, b + 2);
      float da = scale(a), db = two ? scale(b) : 0.0f;
      vf s = pair(da, db);
      for (int m = 0; m < M; ++m) {
        vf lanes = s * load(x[m].lanes + k / 4);
        acc[m] += to_float(dot_unsigned(v, load_as<vb>(x[m].q + k))) * lanes;
        less[m] += 8 * (da * x[m].sums[k / 32] + db * x[m].sums[k / 32 + 1]);
      }
    }
    for (int m = 0; m < M; ++m) out[m] = sum(acc[m]) - less[m];
  }

  static void row(const Matrix& w, int64_t row, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    for (int64_t k = 0; k < w.cols; k += 32, p += B) {
      for (int i = 0; i < 16; ++i) {
        out[k + i] = scale(p) * ((p[2 + i] & 15) - 8);
        out[k + 16 + i] = scale(p) * ((p[2 + i] >> 4) - 8);
      }
    }
  }
};

// GGUF: 32 columns: scale (half), a fifth bit of each column in 4 bytes, then as Q4_0.
struct BlockQ5_0 {
  static constexpr int64_t B = 22;
  static int64_t bytes(const Matrix& w) { return w.cols / 32 * B; }

  template <int M>
  static void sums(const Matrix& w, int64_t row, const Activation* x, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    vf acc[M] = {};
    float less[M] = {};
    for (int64_t k = 0; k < w.cols; k += 64) {
      bool two = k + 32 < w.cols;
      const uint8_t *a = p + k / 32 * B, *b = two ? a + B : a;
      __builtin_prefetch(a + 704);
      vub v = nibbles(a + 6, b + 6) | fifth_bits(load_as<uint32_t>(a + 2), load_as<uint32_t>(b + 2));
      float da = from_f16(load_as<uint16_t>(a)), db = two ? from_f16(load_as<uint16_t>(b)) : 0.0f;
      vf s = pair(da, db);
      for (int m = 0; m < M; ++m) {
        vf lanes = s * load(x[m].lanes + k / 4);
        acc[m] += to_float(dot_unsigned(v, load_as<vb>(x[m].q + k))) * lanes;
        less[m] += 16 * (da * x[m].sums[k / 32] + db * x[m].sums[k / 32 + 1]);
      }
    }
    for (int m = 0; m < M; ++m) out[m] = sum(acc[m]) - less[m];
  }

  static void row(const Matrix& w, int64_t row, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    for (int64_t k = 0; k < w.cols; k += 32, p += B) {
      float d = from_f16(load_as<uint16_t>(p));
      uint32_t high = load_as<uint32_t>(p + 2);
      for (int i = 0; i < 32; ++i) {
        int low = i < 16 ? p[6 + i] & 15 : p[6 + i - 16] >> 4;
        out[k + i] = d * ((low | static_cast<int>(high >> i & 1) << 4) - 16);
      }
    }
  }
};

// GGUF: 32 columns: scale (half), then 32 signed bytes.
struct BlockQ8_0 {
  static constexpr int64_t B = 34;
  static int64_t bytes(const Matrix& w) { return w.cols / 32 * B; }

  template <int M>
  static void sums(const Matrix& w, int64_t row, const Activation* x, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    vf acc[M] = {};
    for (int64_t k = 0; k < w.cols; k += 64) {
      bool two = k + 32 < w.cols;
      const uint8_t *a = p + k / 32 * B, *b = two ? a + B : a;
      __builtin_prefetch(a + 1088);
      vb v = (vb)join(load_as<hub>(a + 2), load_as<hub>(b + 2));
      vf s = pair(from_f16(load_as<uint16_t>(a)), two ? from_f16(load_as<uint16_t>(b)) : 0.0f);
      for (int m = 0; m < M; ++m) {
        vf lanes = s * load(x[m].lanes + k / 4);
        acc[m] += to_float(dot_signed(v, load_as<vb>(x[m].q + k))) * lanes;
      }
    }
    for (int m = 0; m < M; ++m) out[m] = sum(acc[m]);
  }

  static void row(const Matrix& w, int64_t row, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    for (int64_t k = 0; k < w.cols; k += 32, p += B) {
      float d = from_f16(load_as<uint16_t>(p));
      for (int i = 0; i < 32; ++i) out[k + i] = d * static_cast<int8_t>(p[2 + i]);
    }
  }
};

// The 6-bit scales and minima of the 8 groups of 32 columns of Q4_K and Q5_K, from 12 bytes.
inline void unpack_scales(const uint8_t* p, v8f* scale, v8f* least) {
  uint32_t a = load_as<uint32_t>(p), b = load_as<uint32_t>(p + 4), c = load_as<uint32_t>(p + 8);
  uint32_t scales[2] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)};
  uint32_t minima[2] = {b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)};
  *scale = __builtin_convertvector(load_as<v8b>(scales), v8f);
  *least = __builtin_convertvector(load_as<v8b>(minima), v8f);
}

// GGUF: 256 columns: d, dmin (halves), 12 bytes of scales, [32 bytes of fifth bits,] 128 bytes:
// of each 64 columns 32 bytes, the first 32 columns in the low halves.
template <bool FIVE>
struct BlockK45 {
  static constexpr int64_t B = FIVE ? 176 : 144;
  static int64_t bytes(const Matrix& w) { return w.cols / 256 * B; }

  static vub weights(const uint8_t* p, int j) {
    vub v = nibbles(load_as<hub>(p + (FIVE ? 48 : 16) + 32 * j));
    if (FIVE) {
      hub high = load_as<hub>(p + 16) >> (2 * j);
      v |= join((high & 1) << 4, (high & 2) << 3);
    }
    return v;
  }

  template <int M>
  static void sums(const Matrix& w, int64_t row, const Activation* x, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    vf acc[M] = {};
    v8f less[M] = {};
    for (int64_t k = 0; k < w.cols; k += 256, p += B) {
      for (int line = 0; line < B; line += 64) __builtin_prefetch(p + 576 + line);
      float d = from_f16(load_as<uint16_t>(p)), dmin = from_f16(load_as<uint16_t>(p + 2));
      v8f scale, least;
      unpack_scales(p + 4, &scale, &least);
      scale *= d;
      least *= dmin;
      for (int j = 0; j < 4; ++j) {
        vub v = weights(p, j);
        vf s = pair(scale[2 * j], scale[2 * j + 1]);
        int64_t at = k + 64 * j;
        for (int m = 0; m < M; ++m) {
          vf lanes = s * load(x[m].lanes + at / 4);
          acc[m] += to_float(dot_unsigned(v, load_as<vb>(x[m].q + at))) * lanes;
        }
      }
      for (int m = 0; m < M; ++m) less[m] += least * load_as<v8f>(x[m].sums + k / 32);
    }
    for (int m = 0; m < M; ++m) out[m] = sum(acc[m]) - sum(less[m]);
  }

  static void row(const Matrix& w, int64_t row, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    for (int64_t k = 0; k < w.cols; k += 256, p += B) {
      float d = from_f16(load_as<uint16_t>(p)), dmin = from_f16(load_as<uint16_t>(p + 2));
      v8f scale, least;
      unpack_scales(p + 4, &scale, &least);
      for (int j = 0; j < 4; ++j) {
        vub v = weights(p, j);
        for (int i = 0; i < 64; ++i) {
          int g = 2 * j + i / 32;
          out[k + 64 * j + i] = d * scale[g] * v[i] - dmin * least[g];
        }
      }
    }
  }
};

// GGUF: 256 columns: 128 bytes of low halves, 64 bytes of two high bits each, 16 signed scales of
// 16 columns each, d (half). Of each 128 columns: columns 0-63 in the low halves of 64 bytes,
// 64-127 in their high halves; high bits of columns l, l + 32, l + 64, l + 96 share byte l.
struct BlockQ6_K {
  static constexpr int64_t B = 210;
  static int64_t bytes(const Matrix& w) { return w.cols / 256 * B; }

  // Columns 64 * j to 64 * j + 63 with 32 added.
  static vub weights(const uint8_t* p, int j) {
    vub low = load_as<vub>(p + 64 * (j / 2));
    low = j % 2 ? low >> 4 : low & 15;
    hub high = load_as<hub>(p + 128 + 32 * (j / 2)) >> (j % 2 * 4);
    return low | join((high & 3) << 4, (high & 12) << 2);
  }

  template <int M>
  static void sums(const Matrix& w, int64_t row, const Activation* x, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    vf acc[M] = {};
    for (int64_t k = 0; k < w.cols; k += 256, p += B) {
      for (int line = 0; line < B; line += 64) __builtin_prefetch(p + 840 + line);
      float d = from_f16(load_as<uint16_t>(p + 208));
      typedef int8_t q16 __attribute__((vector_size(16)));
      float scale[16];  // one for 16 columns, which are 4 lanes
      store(scale, __builtin_convertvector(load_as<q16>(p + 192), vf) * d);
      for (int j = 0; j < 4; ++j) {
        vb v = (vb)weights(p, j) - 32;
        vf s = quads(scale + 4 * j);
        int64_t at = k + 64 * j;
        for (int m = 0; m < M; ++m) {
          vf lanes = s * load(x[m].lanes + at / 4);
          acc[m] += to_float(dot_signed(v, load_as<vb>(x[m].q + at))) * lanes;
        }
      }
    }
    for (int m = 0; m < M; ++m) out[m] = sum(acc[m]);
  }

  static void row(const Matrix& w, int64_t row, float* out) {
    const uint8_t* p = static_cast<const uint8_t*>(w.data) + row * bytes(w);
    for (int64_t k = 0; k < w.cols; k += 256, p += B) {
      float d = from_f16(load_as<uint16_t>(p + 208));
      for (int j = 0; j < 4; ++j) {
        vub v = weights(p, j);
        for (int i = 0; i < 64; ++i) {
          int scale = static_cast<int8_t>(p[192 + 4 * j + i / 16]);
          out[k + 64 * j + i] = d * scale * (v[i] - 32);
        }
      }
    }
  }
};

// Call f with the type of the matrix's kind.
template <class F>
void with_kind(int32_t kind, F&& f) {
  switch (kind) {
    case F32: return f(Floating<float>{});
    case BF16: return f(Floating<bf16>{});
    case F16: return f(Floating<f16>{});
    case I8: return f(Int8{});
    case I4: return f(Int4{});
    case Q4_0: return f(BlockQ4_0{});
    case Q8_0: return f(BlockQ8_0{});
    case Q4_K: return f(BlockK45<false>{});
    case Q5_K: return f(BlockK45<true>{});
    case Q6_K: return f(BlockQ6_K{});
    case Q5_0: return f(BlockQ5_0{});
  }
}

template <class T, int M>
void rows(const Matrix& w, const Activation* x, float* y, int64_t stride, int64_t begin,
          int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    float out[M];
    T::template sums<M>(w, r, x, out);
    float bias = w.bias ? w.bias[r] : 0.0f;
    for (int m = 0; m < M; ++m) y[m * stride + r] = out[m] + bias;
  }
}

}  // namespace

int64_t row_bytes(const Matrix& w) {
  int64_t bytes = 0;
  with_kind(w.kind, [&](auto kind) { bytes = kind.bytes(w); });
  return bytes;
}

void quantize(const Activation& x, int64_t cols) {
  typedef int8_t q16 __attribute__((vector_size(16)));
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
    q16 ia = __builtin_convertvector(__builtin_convertvector(qa, vi), q16);
    q16 ib = __builtin_convertvector(__builtin_convertvector(qb, vi), q16);
    std::memcpy(x.q + k, &ia, 16);
    std::memcpy(x.q + k + 16, &ib, 16);
    v8f lanes = scale - v8f{};
    std::memcpy(x.lanes + k / 4, &lanes, sizeof lanes);
    x.sums[k / 32] = scale * sum(qa + qb);
  }
}

void product(const Matrix& w, const Activation* x, int tokens, float* y, int64_t stride,
             int64_t begin, int64_t end) {
  with_kind(w.kind, [&](auto kind) {
    using T = decltype(kind);
    for (int m = 0; m < tokens;) {
      int left = tokens - m;
      float* out = y + m * stride;
      if (left >= 8) {
        rows<T, 8>(w, x + m, out, stride, begin, end), m += 8;
      } else if (left >= 4) {
        rows<T, 4>(w, x + m, out, stride, begin, end), m += 4;
      } else if (left >= 2) {
        rows<T, 2>(w, x + m, out, stride, begin, end), m += 2;
      } else {
        rows<T, 1>(w, x + m, out, stride, begin, end), m += 1;
      }
    }
  });
}

void dequantize_row(const Matrix& w, int64_t row, float* out) {
  with_kind(w.kind, [&](auto kind) { kind.row(w, row, out); });
}

}  // namespace hf
