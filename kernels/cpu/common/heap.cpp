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
