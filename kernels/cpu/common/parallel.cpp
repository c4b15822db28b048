#include "parallel.h"

#include <sched.h>

#include "exports.h"

namespace hf {

Runtime runtime;

void Barrier::pause(int spins) {
  if (spins < 4096) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  } else {
    sched_yield();
  }
}

}  // namespace hf

HF_EXPORT void hf_set_runtime(void* fork, void* max_threads, void* thread, void* team) {
  hf::runtime.fork = reinterpret_cast<void (*)(void (*)(void*), void*, unsigned, unsigned)>(fork);
  hf::runtime.max_threads = reinterpret_cast<int (*)()>(max_threads);
  hf::runtime.thread = reinterpret_cast<int (*)()>(thread);
  hf::runtime.team = reinterpret_cast<int (*)()>(team);
}

HF_EXPORT int hf_max_threads() { return hf::max_threads(); }
