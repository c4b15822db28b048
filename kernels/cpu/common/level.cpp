// Which instruction sets this processor has: 0 none of the following, 1 AVX2 and FMA, 2 AVX-512
// (F, BW, DQ, VL), 3 also VNNI and VBMI.
#include "exports.h"

HF_EXPORT int hf_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return 1;
  }
  if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vbmi")) return 2;
  return 3;
#else
  return 0;
#endif
}
