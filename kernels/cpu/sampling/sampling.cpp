// Cutting rows of scores short, and drawing from them, without sorting a row or drawing numbers for
// words that cannot come out.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "../common/exports.h"
#include "../common/parallel.h"
#include "../common/simd.h"

using namespace hf;

namespace {

constexpr float LOWEST = -std::numeric_limits<float>::infinity();

// The largest score, or NaN if one is: comparing with NaN is false, so it stays.
float largest(const float* x, int64_t size) {
  vf most = splat(LOWEST), odd{};
  int64_t i = 0;
  for (; i + W <= size; i += W) {
    vf v = load(x + i);
    most = vmax(v, most);
    odd += v != v ? splat(1.0f) : splat(0.0f);
  }
  float m = max(most), nan = sum(odd);
  for (; i < size; ++i) {
    m = std::max(m, x[i]);
    nan += std::isnan(x[i]) ? 1.0f : 0.0f;
  }
  return nan > 0 ? std::numeric_limits<float>::quiet_NaN() : m;
}

// Call f(i) for each score above `limit`, which f may raise.
template <class F>
void each_above(const float* x, int64_t size, const float& limit, F&& f) {
  int64_t i = 0;
  for (; i + W <= size; i += W) {
    if (!(max(load(x + i)) > limit)) continue;
    for (int64_t j = i; j < i + W; ++j) {
      if (x[j] > limit) f(j);
    }
  }
  for (; i < size; ++i) {
    if (x[i] > limit) f(i);
  }
}

// The k-th largest score: a heap of the k largest so far, which few scores get past.
float kth(const float* x, int64_t size, int64_t k) {
  std::vector<float> heap(x, x + k);
  std::make_heap(heap.begin(), heap.end(), std::greater<float>());
  float limit = heap.front();
  each_above(x + k, size - k, limit, [&](int64_t i) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<float>());
    heap.back() = x[k + i];
    std::push_heap(heap.begin(), heap.end(), std::greater<float>());
    limit = heap.front();
  });
  return limit;
}

void keep_from(const float* x, float least, float value, float* y, int64_t size) {
  int64_t i = 0;
  for (; i + W <= size; i += W) {
    vf v = load(x + i);
    store(y + i, v < splat(least) ? splat(value) : v);
  }
  for (; i < size; ++i) y[i] = x[i] < least ? value : x[i];
}

// Shares of words are summed by how far the score lies below the largest, in buckets; only the
// bucket in which the sum passes 1 - p is sorted.
class Nucleus {
 public:
  // False if the row has no largest finite score, or if some of equal scores are kept: which ones
  // depends on how a whole row is sorted.
  bool run(const float* x, int64_t size, float rest, int64_t least, float value, float* y) {
    float most = largest(x, size);
    if (!std::isfinite(most)) return false;
    std::fill(mass_, mass_ + BUCKETS, 0.0);
    float limit = LOWEST;
    double total = 0;
    e_.resize(size);
    for (int64_t i = 0; i < size; i += W) {
      float part[W], e[W];
      int64_t n = std::min<int64_t>(W, size - i);
      std::fill(part, part + W, LOWEST);
      std::copy(x + i, x + i + n, part);
      vf v = load(part);
      if (!(max(v) > limit)) {  // all removed before
        std::fill(e_.data() + i, e_.data() + i + n, 0.0f);
        continue;
      }
      store(e, exp(v - most));
      std::copy(e, e + n, e_.data() + i);
      for (int64_t j = 0; j < n; ++j) {
        mass_[bucket(most, part[j])] += e[j];
        total += e[j];
      }
    }
    // From the least likely up: float32 of the sum is compared, as torch does.
    double below = 0;
    int at = BUCKETS - 1;
    while (at > 0 && static_cast<float>((below + mass_[at]) / total) <= rest) below += mass_[at--];
    inside_.clear();
    int64_t above = 0;
    for (int64_t i = 0; i < size; ++i) {
      int b = bucket(most, x[i]);
      if (b == at) inside_.push_back(i);
      if (b < at) ++above;
    }
    auto less = [&](int64_t a, int64_t b) { return x[a] != x[b] ? x[a] < x[b] : a < b; };
    std::sort(inside_.begin(), inside_.end(), less);
    size_t first = 0;  // kept of the bucket's
    for (; first < inside_.size(); ++first) {
      below += e_[inside_[first]];
      if (!(static_cast<float>(below / total) <= rest)) break;
    }
    if (above + static_cast<int64_t>(inside_.size() - first) < least) {
      return keep_last(x, size, least, value, y, less);
    }
    if (first > 0 && first < inside_.size() && x[inside_[first - 1]] == x[inside_[first]]) return false;
    for (int64_t i = 0; i < size; ++i) y[i] = bucket(most, x[i]) < at ? x[i] : value;
    for (; first < inside_.size(); ++first) y[inside_[first]] = x[inside_[first]];
    return true;
  }

 private:
  static constexpr int BUCKETS = 4096;
  static constexpr float FINE = 128;  // buckets for a score lower by one; the last has the rest

  static int bucket(float most, float x) {
    float d = (most - x) * FINE;
    return d < BUCKETS - 1 ? static_cast<int>(d) : BUCKETS - 1;
  }

  template <class Less>
  bool keep_last(const float* x, int64_t size, int64_t count, float value, float* y, Less less) {
    count = std::min(count, size);
    inside_.resize(size);
    for (int64_t i = 0; i < size; ++i) inside_[i] = i;
    auto first = inside_.begin() + (size - count);
    std::nth_element(inside_.begin(), first, inside_.end(), less);
    for (auto i = inside_.begin(); i != first; ++i) {
      if (x[*i] == x[*first]) return false;
    }
    std::fill(y, y + size, value);
    for (; first != inside_.end(); ++first) y[*first] = x[*first];
    return true;
  }

  double mass_[BUCKETS];
  std::vector<float> e_;
  std::vector<int64_t> inside_;
};

// The 32-bit Mersenne Twister: words that nobody looks at are not tempered.
class Twister {
 public:
  Twister(uint32_t* key, int64_t position) : key_(key), at_(position) {}

  int64_t position() const { return at_; }

  void skip(int64_t words) {
    while (words > 0) {
      if (at_ == N) refill();
      int64_t step = std::min(words, N - at_);
      at_ += step, words -= step;
    }
  }

  uint32_t next() {
    if (at_ == N) refill();
    uint32_t y = key_[at_++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
  }

 private:
  static constexpr int64_t N = 624, M = 397;

  static uint32_t mix(uint32_t a, uint32_t b, uint32_t far) {
    uint32_t y = (a & 0x80000000u) | (b & 0x7fffffffu);
    return far ^ y >> 1 ^ ((0u - (y & 1u)) & 0x9908b0dfu);
  }

  void refill() {
    for (int64_t i = 0; i < N - M; ++i) key_[i] = mix(key_[i], key_[i + 1], key_[i + M]);
    for (int64_t i = N - M; i < N - 1; ++i) key_[i] = mix(key_[i], key_[i + 1], key_[i + M - N]);
    key_[N - 1] = mix(key_[N - 1], key_[0], key_[M - 1]);
    at_ = 0;
  }

  uint32_t* key_;
  int64_t at_;
};

// The word whose share over an exponential number of its own is largest.
int64_t draw_row(const float* x, int64_t size, float most, Twister& words, std::vector<float>& e) {
  e.resize(size + W);
  vf total{};
  for (int64_t i = 0; i < size; i += W) {
    float part[W];
    int64_t n = std::min<int64_t>(W, size - i);
    vf v = splat(LOWEST);
    if (n == W) {
      v = load(x + i);
    } else {
      store(part, v);
      std::copy(x + i, x + size, part);
      v = load(part);
    }
    v = exp(v - most);
    total += v;
    store(e.data() + i, v);
  }
  const float all = sum(total);
  float best = -1;
  int64_t chosen = 0, done = 0;
  for (int64_t i = 0; i < size; ++i) {
    float share = e[i] / all;
    if (share == 0) continue;
    words.skip(2 * (i - done));
    done = i + 1;
    uint64_t high = words.next(), bits = high << 32 | words.next();
    double u = static_cast<double>(bits & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
    // -log(1 - u) is at least u: most words need no logarithm to be ruled out.
    if (share < best * u * 0.999999) continue;
    float score = share / static_cast<float>(-std::log1p(-u));
    if (score > best) best = score, chosen = i;
  }
  words.skip(2 * (size - done));
  return chosen;
}

template <class F>
void rows(int64_t count, int64_t size, F&& f) {
  constexpr int64_t WORTH = 32768;  // scores that pay for a thread
  int64_t worth = std::min(count, count * size / WORTH + 1);
  parallel(static_cast<int>(std::min<int64_t>(max_threads(), worth)), [&](int thread, int team) {
    Range r = share(count, thread, team);
    for (int64_t i = r.begin; i < r.end; ++i) f(i);
  });
}

}  // namespace

// x, y [count, size]; y = x where it is at least the k-th largest of its row, else value.
// Returns 0, or 1 if a row has NaN.
HF_EXPORT int hf_keep_top_k(const float* x, float* y, int64_t count, int64_t size, int64_t k,
                            float value) {
  std::atomic<int> odd{0};
  rows(count, size, [&](int64_t i) {
    const float* row = x + i * size;
    if (std::isnan(largest(row, size))) {
      odd = 1;
      return;
    }
    keep_from(row, kth(row, size, k), value, y + i * size, size);
  });
  return odd;
}

// Of each row the likeliest whose others' shares add up to `rest`, and at least `least`.
// Returns 0, or 1 if a row has NaN, nothing finite, or equal scores at the edge.
HF_EXPORT int hf_keep_top_p(const float* x, float* y, int64_t count, int64_t size, float rest,
                            int64_t least, float value) {
  std::atomic<int> odd{0};
  rows(count, size, [&](int64_t i) {
    thread_local Nucleus nucleus;
    Nucleus& mine = nucleus;
    if (!mine.run(x + i * size, size, rest, least, value, y + i * size)) odd = 1;
  });
  return odd;
}

// One word of each row: chosen [count]. key [624] and position are those of the twister, moved on by
// two words a score. Returns 0, or 1, with nothing drawn, if a row has NaN or nothing finite.
HF_EXPORT int hf_draw(const float* x, int64_t* chosen, int64_t count, int64_t size, uint32_t* key,
                      int64_t* position) {
  std::vector<float> most(count), e;
  for (int64_t i = 0; i < count; ++i) {
    most[i] = largest(x + i * size, size);
    if (!std::isfinite(most[i])) return 1;
  }
  Twister words(key, *position);
  for (int64_t i = 0; i < count; ++i) chosen[i] = draw_row(x + i * size, size, most[i], words, e);
  *position = words.position();
  return 0;
}
