// Keep freed memory in the process.
//
// glibc maps every block above 32 MB anew and trims the heap's end, so each large tensor is paid for
// with a page fault for every 4 kB: 13 % of a training step's time (see docs/performance.md).
#include "exports.h"

#if defined(__GLIBC__) || __has_include(<gnu/libc-version.h>)
#include <malloc.h>
#endif

HF_EXPORT int hf_keep_heap() {
#if defined(M_MMAP_THRESHOLD) && defined(M_TRIM_THRESHOLD)
  return mallopt(M_MMAP_THRESHOLD, 1 << 30) && mallopt(M_TRIM_THRESHOLD, 0x7fffffff);
#else
  return 0;
#endif
}

// The opposite: give every block above 256 KB back as soon as it is free. The heap has no holes
// then, but pays for each block with page faults. (Left alone, glibc moves the limit up to 32 MB.)
HF_EXPORT int hf_small_heap() {
#if defined(M_MMAP_THRESHOLD) && defined(M_MMAP_MAX)
  return mallopt(M_MMAP_THRESHOLD, 1 << 18) && mallopt(M_MMAP_MAX, 1 << 20);
#else
  return 0;
#endif
}
