// Threads: one team of the OpenMP runtime that Paddle itself uses, reached through its entry point.
//
// Linking a second OpenMP runtime would give the process two pools of threads, each spinning for
// work while the other computes. So the library links none: the loader hands over the functions of
// the runtime that is already in the process (`hf_set_runtime`), and without one it runs serially.
#pragma once

#include <atomic>
#include <cstdint>

namespace hf {

struct Runtime {
  void (*fork)(void (*)(void*), void*, unsigned, unsigned) = nullptr;  // GOMP_parallel
  int (*max_threads)() = nullptr;                                     // omp_get_max_threads
  int (*thread)() = nullptr;                                          // omp_get_thread_num
  int (*team)() = nullptr;                                            // omp_get_num_threads
};

extern Runtime runtime;

inline int max_threads() { return runtime.fork ? runtime.max_threads() : 1; }

// Call f(thread, threads) in each thread of a team of at most `threads`.
template <class F>
void parallel(int threads, F&& f) {
  if (threads <= 1 || !runtime.fork) {
    f(0, 1);
    return;
  }
  struct Call {
    F& f;
    static void run(void* self) {
      static_cast<Call*>(self)->f(runtime.thread(), runtime.team());
    }
  } call{f};
  runtime.fork(&Call::run, &call, static_cast<unsigned>(threads), 0);
}

// The part [begin, end) of `count` items that belongs to one of `threads` threads, in whole `unit`s.
struct Range {
  int64_t begin, end;
};

inline Range share(int64_t count, int thread, int threads, int64_t unit = 1) {
  int64_t units = (count + unit - 1) / unit;
  int64_t begin = units * thread / threads * unit, end = units * (thread + 1) / threads * unit;
  return {begin < count ? begin : count, end < count ? end : count};
}

// Waits until all threads of a team have arrived; much cheaper than ending a parallel region.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}

  void wait() {
    if (threads_ == 1) return;
    int turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) pause(spins);
  }

 private:
  // On a machine that is shared, the thread waited for may not be running at all.
  static void pause(int spins);

  const int threads_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> turn_{0};
};

}  // namespace hf
