// Which instruction sets this processor has: 0 none of the following, 1 AVX2 and FMA, 2 AVX-512
// (F, BW, DQ, VL), 3 also VNNI and VBMI, 4 also AMX with bfloat16, if the system lets us use it.
#include "exports.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned AMX_BF16 = 1u << 22, AMX_TILE = 1u << 24;
  if (!(d & AMX_BF16) || !(d & AMX_TILE)) return false;
  // Linux hands out the tiles' 8 KB of registers to processes that ask.
  constexpr long ASK = 0x1023, TILES = 18;
  return syscall(SYS_arch_prctl, ASK, TILES) == 0;
}
#else
static bool has_amx() { return false; }
#endif

HF_EXPORT int hf_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return 1;
  }
  if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vbmi")) return 2;
  return has_amx() ? 4 : 3;
#else
  return 0;
#endif
}
