// nulldev: a Paddle custom device that lives in host memory.
// NULLDEV_STRICT=1 hands out addresses nobody may dereference (PROT_NONE); only
// the copy functions below know the readable alias. CPU code that touches a
// "device" pointer then dies with SIGSEGV, as it would on a real accelerator.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "paddle/phi/backends/device_ext.h"

namespace {
constexpr size_t kDevices = 2;
constexpr size_t kArena = size_t{64} << 30;  // bytes of address space per device
thread_local int current = 0;

struct Arena {  // bump allocator over a doubly mapped sparse memfd; Paddle pools above it
  char *dev = nullptr, *host = nullptr;
  std::atomic<size_t> top{0}, in_use{0};
  int fd = -1;
  void Map(bool strict) {
    fd = memfd_create("nulldev", 0);
    if (fd < 0 || ftruncate(fd, kArena) != 0) std::abort();
    auto map = [&](int prot) {
      return static_cast<char*>(mmap(nullptr, kArena, prot, MAP_SHARED | MAP_NORESERVE, fd, 0));
    };
    host = map(PROT_READ | PROT_WRITE);
    dev = strict ? map(PROT_NONE) : host;
  }
  void* Take(size_t n) {
    n = (n + 4095) / 4096 * 4096;
    size_t at = top.fetch_add(n);
    return at + n > kArena ? nullptr : (in_use += n, dev + at);
  }
  void Give(void* p, size_t n) {
    n = (n + 4095) / 4096 * 4096;
    in_use -= n;
    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<char*>(p) - dev, n);
  }
};
Arena arenas[kDevices];

char* Real(const void* p) {  // device address -> readable alias
  auto c = static_cast<char*>(const_cast<void*>(p));
  for (auto& a : arenas)
    if (c >= a.dev && c < a.dev + kArena) return a.host + (c - a.dev);
  std::fprintf(stderr, "nulldev: %p is not device memory\n", p);
  std::abort();
}
const void* Host(const void* p) {  // must NOT be device memory
  auto c = static_cast<const char*>(p);
  for (auto& a : arenas)
    if (a.dev != a.host && c >= a.dev && c < a.dev + kArena) {
      std::fprintf(stderr, "nulldev: %p is device memory, host expected\n", p);
      std::abort();
    }
  return p;
}

template <class... A>
C_Status Ok(A...) { return C_SUCCESS; }

C_Status Initialize() {
  const char* s = std::getenv("NULLDEV_STRICT");
  for (auto& a : arenas) a.Map(s && *s == '1');
  return C_SUCCESS;
}
C_Status Set(const C_Device d) { current = d->id; return C_SUCCESS; }
C_Status Get(const C_Device d) { d->id = current; return C_SUCCESS; }
C_Status Count(size_t* n) { *n = kDevices; return C_SUCCESS; }
C_Status List(size_t* ids) {
  for (size_t i = 0; i < kDevices; ++i) ids[i] = i;
  return C_SUCCESS;
}
C_Status Alloc(const C_Device d, void** p, size_t n) {
  *p = arenas[d->id].Take(n);
  return *p ? C_SUCCESS : C_FAILED;
}
C_Status Free(const C_Device d, void* p, size_t n) {
  arenas[d->id].Give(p, n);
  return C_SUCCESS;
}
C_Status HostAlloc(const C_Device, void** p, size_t n) {
  *p = std::malloc(n);
  return *p ? C_SUCCESS : C_FAILED;
}
C_Status HostFree(const C_Device, void* p, size_t) { std::free(p); return C_SUCCESS; }
C_Status Memset(const C_Device, void* p, unsigned char v, size_t n) {
  std::memset(Real(p), v, n);
  return C_SUCCESS;
}
C_Status H2D(const C_Device, void* d, const void* s, size_t n) {
  std::memcpy(Real(d), Host(s), n);
  return C_SUCCESS;
}
C_Status D2H(const C_Device, void* d, const void* s, size_t n) {
  std::memcpy(const_cast<void*>(Host(d)), Real(s), n);
  return C_SUCCESS;
}
C_Status D2D(const C_Device, void* d, const void* s, size_t n) {
  std::memmove(Real(d), Real(s), n);
  return C_SUCCESS;
}
C_Status P2P(const C_Device a, const C_Device, void* d, const void* s, size_t n) {
  return D2D(a, d, s, n);
}
C_Status H2DAsync(const C_Device v, C_Stream, void* d, const void* s, size_t n) { return H2D(v, d, s, n); }
C_Status D2HAsync(const C_Device v, C_Stream, void* d, const void* s, size_t n) { return D2H(v, d, s, n); }
C_Status D2DAsync(const C_Device v, C_Stream, void* d, const void* s, size_t n) { return D2D(v, d, s, n); }
C_Status P2PAsync(const C_Device a, const C_Device b, C_Stream, void* d, const void* s, size_t n) { return P2P(a, b, d, s, n); }
C_Status NewStream(const C_Device, C_Stream* s) {
  *s = reinterpret_cast<C_Stream>(new char);
  return C_SUCCESS;
}
C_Status NewEvent(const C_Device, C_Event* e) {
  *e = reinterpret_cast<C_Event>(new char);
  return C_SUCCESS;
}
C_Status AddCallback(const C_Device d, C_Stream s, C_Callback cb, void* user) {
  C_Status st = C_SUCCESS;
  cb(d, s, user, &st);
  return st;
}
C_Status MemStats(const C_Device d, size_t* total, size_t* avail) {
  *total = kArena;
  *avail = kArena - arenas[d->id].in_use;
  return C_SUCCESS;
}
template <size_t V>
C_Status Const(const C_Device, size_t* v) { *v = V; return C_SUCCESS; }
C_Status Yes(const C_Device, bool* v) { *v = true; return C_SUCCESS; }
C_Status Grid(const C_Device, std::array<unsigned int, 3>* v) { *v = {1, 1, 1}; return C_SUCCESS; }
}  // namespace

extern "C" __attribute__((visibility("default"))) void InitPlugin(CustomRuntimeParams* p) {
  PADDLE_CUSTOM_RUNTIME_CHECK_VERSION(p);
  static char name[] = "nulldev", sub[] = "1";
  p->device_type = name;
  p->sub_device_type = sub;
  auto* i = p->interface;
  size_t size = i->size;
  std::memset(static_cast<void*>(i), 0, sizeof(*i));
  i->size = size;
  i->initialize = Initialize, i->finalize = Ok;
  i->init_device = Set, i->set_device = Set, i->get_device = Get, i->deinit_device = Ok;
  i->create_stream = NewStream, i->destroy_stream = Ok, i->query_stream = Ok;
  i->stream_add_callback = AddCallback;
  i->create_event = NewEvent, i->record_event = Ok, i->destroy_event = Ok, i->query_event = Ok;
  i->synchronize_device = Ok, i->synchronize_stream = Ok, i->synchronize_event = Ok;
  i->stream_wait_event = Ok;
  i->device_memory_allocate = Alloc, i->device_memory_deallocate = Free;
  i->device_memory_set = Memset;
  i->host_memory_allocate = HostAlloc, i->host_memory_deallocate = HostFree;
  i->memory_copy_h2d = H2D, i->memory_copy_d2h = D2H, i->memory_copy_d2d = D2D;
  i->memory_copy_p2p = P2P;
  i->async_memory_copy_h2d = H2DAsync, i->async_memory_copy_d2h = D2HAsync;
  i->async_memory_copy_d2d = D2DAsync, i->async_memory_copy_p2p = P2PAsync;
  i->get_device_count = Count, i->get_device_list = List;
  i->device_memory_stats = MemStats;
  i->device_min_chunk_size = Const<512>;
  i->get_compute_capability = Const<90>;
  i->get_runtime_version = Const<1>, i->get_driver_version = Const<1>;
  i->get_multi_process = Const<1>;
  i->get_max_threads_per_mp = Const<1>, i->get_max_threads_per_block = Const<1>;
  i->get_max_grid_dim_size = Grid;
  i->is_float16_supported = Yes, i->is_bfloat16_supported = Yes;
}
extern "C" __attribute__((visibility("default"))) void* nulldev_real(const void* p) { return Real(p); }
