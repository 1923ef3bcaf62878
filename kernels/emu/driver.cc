// A libcuda.so.1 for tests: the calls that gorgonia.org/cu and internal/cuda make, on the emulated
// GPU. Work on a stream is put off until somebody waits for it, so that a program that does not
// wait, or reuses memory too early, gets wrong answers rather than lucky ones. Environment:
// EMU_GPU (h100, a100, rtx4090) names the GPU, EMU_MEMORY_MB its memory, EMU_ORDER see grid.h.
// EMU_STREAMS says how streams overlap: late (default) puts all off, early has those but
// a context's first go as soon as the events allow that they wait for, random is in between. EMU_GPUS
// is how many there are, each with memory of its own; EMU_PEERS=0 denies them access to each other's.
#include <cuda.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gpu.h"
#include "grid.h"
#include "memory.h"

#define CALL extern "C" __attribute__((visibility("default"))) CUresult

// Moment is when an event was reached, in seconds; 0: not yet.
using Moment = std::shared_ptr<double>;

// Operation is work on a stream. It may begin once `after`, where there is one, was reached.
struct Operation {
  std::function<CUresult()> run;
  Moment after;

  bool ready() const { return after == nullptr || *after != 0; }
};

struct CUstream_st {
  bool blocking;
  size_t number = 0;  // in its context, from 1 on; 0 is the legacy stream
  std::deque<Operation> waiting = {};
  uint64_t issued = 0, done = 0;
};

// Schedule is what becomes of streams that nobody waits for.
enum class Schedule { LATE, EARLY, RANDOM };

struct CUevent_st {
  bool timed;
  CUstream stream = nullptr;
  uint64_t after = 0;  // operations of the stream
  Moment when = std::make_shared<double>(0);
};

struct CUfunc_st {
  const emu::Kernel* kernel;
  int shared_most;  // bytes of dynamic shared memory
};

struct CUmod_st {
  std::map<std::string, CUfunc_st> functions;
  std::string names;
  char separator;
};

struct CUctx_st {
  CUresult error = CUDA_SUCCESS;  // sticks: a kernel has failed
  CUdevice device = 0;
  std::set<CUcontext> peers;  // whose memory this one may use
  Schedule schedule = Schedule::LATE;
  size_t made = 0;  // streams so far
  CUstream_st legacy{true};
  std::set<CUstream> streams;
  std::set<CUevent> events;
  std::set<CUmodule> modules;
  std::map<void*, size_t> memory, pinned;
};

namespace {

std::recursive_mutex mu;  // of everything here
std::set<CUcontext> contexts;
constexpr int GPUS_MOST = 16;
size_t used[GPUS_MOST];  // of each GPU's memory
thread_local std::vector<CUcontext> stack;

const emu::Gpu* gpu() {
  static const emu::Gpu* const one = [] {
    const char* want = getenv("EMU_GPU");
    for (const emu::Gpu& g : emu::gpus)
      if (want == nullptr || strcmp(want, g.key) == 0) return &g;
    fprintf(stderr, "emulated gpu: EMU_GPU is %s, which is not known\n", want);
    exit(2);
  }();
  return one;
}

int multiprocessors() {
  const char* want = getenv("EMU_MULTIPROCESSORS");
  return want != nullptr ? atoi(want) : gpu()->multiprocessors;
}

int gpus() {
  const char* want = getenv("EMU_GPUS");
  const int n = want != nullptr ? atoi(want) : 1;
  return n < 1 ? 1 : n > GPUS_MOST ? GPUS_MOST : n;
}

size_t memory_bytes() {
  const char* want = getenv("EMU_MEMORY_MB");
  return (want != nullptr ? (size_t)atol(want) : 4096) << 20;
}

Schedule schedule() {
  const char* want = getenv("EMU_STREAMS");
  if (want == nullptr || strcmp(want, "late") == 0) return Schedule::LATE;
  return strcmp(want, "early") == 0 ? Schedule::EARLY : Schedule::RANDOM;
}

CUresult refuse(CUresult r, const char* format, ...) __attribute__((format(printf, 2, 3)));
CUresult refuse(CUresult r, const char* format, ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fprintf(stderr, "emulated gpu: %s\n", text);
  return r;
}

CUcontext current() { return stack.empty() ? nullptr : stack.back(); }

void advance(CUcontext c);

// in runs f in the current context, which must be there and well.
template <class F> CUresult in(F f) {
  std::lock_guard<std::recursive_mutex> lock(mu);
  CUcontext c = current();
  if (c == nullptr || contexts.count(c) == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (c->error != CUDA_SUCCESS) return c->error;
  CUresult r = f(c);
  advance(c);
  return c->error != CUDA_SUCCESS ? c->error : r;
}

// flush does a stream's operations, up to a number of them.
CUresult flush(CUcontext c, CUstream s, uint64_t upto) {
  while (s->done < upto && !s->waiting.empty()) {
    auto f = std::move(s->waiting.front().run);
    s->waiting.pop_front();
    s->done++;
    if (CUresult r = f(); r != CUDA_SUCCESS) c->error = r;
  }
  return c->error;
}

// advance has streams go on by themselves, as far as the schedule has them and events allow.
void advance(CUcontext c) {
  static std::minstd_rand dice(1);
  if (c->schedule == Schedule::LATE) return;
  for (CUstream s : c->streams) {
    uint64_t most = s->number > 1 ? s->waiting.size() : 0;
    if (c->schedule == Schedule::RANDOM) most = dice() % (s->waiting.size() + 1);
    for (; most > 0 && !s->waiting.empty() && s->waiting.front().ready(); most--)
      flush(c, s, s->done + 1);
  }
}

CUresult flush(CUcontext c, CUstream s) { return flush(c, s, s->issued); }

CUresult flush_all(CUcontext c, bool blocking_only) {
  flush(c, &c->legacy);
  for (CUstream s : c->streams)
    if (s->blocking || !blocking_only) flush(c, s);
  return c->error;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

CUstream of(CUcontext c, CUstream s) { return s == nullptr ? &c->legacy : s; }

bool known(CUcontext c, CUstream s) { return s == nullptr || c->streams.count(s) > 0; }

CUresult issue(CUcontext c, CUstream s, std::function<CUresult()> f, Moment after = nullptr) {
  if (!known(c, s)) return CUDA_ERROR_INVALID_HANDLE;
  of(c, s)->waiting.push_back({std::move(f), std::move(after)});
  of(c, s)->issued++;
  return CUDA_SUCCESS;
}

// may_use reports whether a context may use the allocation that begins at base.
bool may_use(CUcontext c, void* base) {
  if (c->memory.count(base) > 0) return true;
  for (CUcontext o : c->peers)
    if (contexts.count(o) > 0 && o->memory.count(base) > 0) return true;
  return false;
}

// on_gpu wants n bytes at p to be memory that a context may use.
CUresult on_gpu(CUcontext c, CUdeviceptr p, size_t n, const char* what) {
  void* base;
  size_t size;
  const bool there = n == 0 || emu::covers((void*)p, n, &base, &size);
  if (n == 0 || (there && may_use(c, base))) return CUDA_SUCCESS;
  if (there)
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s: %p is memory of another context", what, (void*)p);
  char text[200];
  emu::explain((char*)p + n - 1, text, sizeof text);
  return refuse(CUDA_ERROR_INVALID_VALUE, "%s: the last of %zu bytes at %p is %s", what, n, (void*)p,
                text);
}

bool is_pinned(CUcontext c, const void* p, size_t n) {
  auto at = c->pinned.upper_bound(const_cast<void*>(p));
  if (at == c->pinned.begin()) return false;
  --at;
  return (const char*)p + n <= (char*)at->first + at->second;
}

// copy_host issues a copy with one side on the host: later where that side is pinned, as hardware
// does, and at once where it is not.
CUresult copy_host(CUcontext c, void* dst, const void* src, size_t n, const void* host, CUstream s) {
  CUresult r = issue(c, s, [=] {
    memcpy(dst, src, n);
    return CUDA_SUCCESS;
  });
  if (r != CUDA_SUCCESS || is_pinned(c, host, n)) return r;
  return flush(c, of(c, s));
}

}  // namespace

// Start and devices.

CALL cuInit(unsigned flags) { return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

CALL cuDriverGetVersion(int* v) {
  *v = 12090;
  return CUDA_SUCCESS;
}

CALL cuDeviceGetCount(int* n) {
  *n = gpus();
  return CUDA_SUCCESS;
}

CALL cuDeviceGet(CUdevice* d, int i) {
  *d = i;
  return i >= 0 && i < gpus() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CALL cuDeviceGetName(char* name, int n, CUdevice) {
  snprintf(name, n, "%s", gpu()->name);
  return CUDA_SUCCESS;
}

CALL cuDeviceTotalMem(size_t* n, CUdevice) {
  *n = memory_bytes();
  return CUDA_SUCCESS;
}

CALL cuDeviceGetAttribute(int* v, CUdevice_attribute a, CUdevice) {
  switch (a) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *v = gpu()->major; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *v = gpu()->minor; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *v = multiprocessors(); break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *v = emu::THREADS_MOST; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *v = gpu()->shared; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *v = gpu()->shared_most; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *v = 32; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

// Contexts.

CALL cuCtxCreate(CUcontext* c, unsigned, CUdevice d) {
  if (d < 0 || d >= gpus()) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard<std::recursive_mutex> lock(mu);
  contexts.insert(*c = new CUctx_st);
  (*c)->device = d;
  (*c)->schedule = schedule();
  stack.push_back(*c);
  return CUDA_SUCCESS;
}

// cuCtxDestroy frees what is left, as hardware does, but says so and returns an error.
CALL cuCtxDestroy(CUcontext c) {
  std::lock_guard<std::recursive_mutex> lock(mu);
  if (contexts.count(c) == 0) return CUDA_ERROR_INVALID_CONTEXT;
  flush_all(c, false);
  CUresult r = CUDA_SUCCESS;
  size_t bytes = 0;
  char why[200];
  for (auto& [p, n] : c->memory) {
    bytes += n;
    used[c->device] -= n;
    emu::give(p, why, sizeof why);
  }
  if (size_t n = c->memory.size() + c->pinned.size() + c->streams.size() + c->events.size() +
                 c->modules.size(); n > 0)
    r = refuse(CUDA_ERROR_ILLEGAL_STATE,
               "leak: %zu allocations (%zu bytes), %zu pinned, %zu streams, %zu events, %zu modules "
               "are left", c->memory.size(), bytes, c->pinned.size(), c->streams.size(),
               c->events.size(), c->modules.size());
  for (auto& p : c->pinned) free(p.first);
  for (CUstream s : c->streams) delete s;
  for (CUevent e : c->events) delete e;
  for (CUmodule m : c->modules) delete m;
  contexts.erase(c);
  for (CUcontext o : contexts) o->peers.erase(c);
  if (current() == c) stack.pop_back();
  delete c;
  return r;
}

CALL cuCtxSetCurrent(CUcontext c) {
  std::lock_guard<std::recursive_mutex> lock(mu);
  if (c != nullptr && contexts.count(c) == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (!stack.empty()) stack.pop_back();
  if (c != nullptr) stack.push_back(c);
  return CUDA_SUCCESS;
}

CALL cuCtxGetCurrent(CUcontext* c) {
  *c = current();
  return CUDA_SUCCESS;
}

CALL cuCtxPushCurrent(CUcontext c) {
  stack.push_back(c);
  return CUDA_SUCCESS;
}

CALL cuCtxPopCurrent(CUcontext* c) {
  if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  if (c != nullptr) *c = current();
  stack.pop_back();
  return CUDA_SUCCESS;
}

CALL cuCtxGetDevice(CUdevice* d) {
  return in([=](CUcontext c) {
    *d = c->device;
    return CUDA_SUCCESS;
  });
}

CALL cuCtxSynchronize() {
  return in([](CUcontext c) { return flush_all(c, false); });
}

// Peers: what GPUs may do with each other's memory.

static bool peers(CUdevice a, CUdevice b) {
  const char* want = getenv("EMU_PEERS");
  return a != b && (want == nullptr || strcmp(want, "0") != 0);
}

CALL cuDeviceCanAccessPeer(int* can, CUdevice a, CUdevice b) {
  *can = peers(a, b);
  return CUDA_SUCCESS;
}

CALL cuCtxEnablePeerAccess(CUcontext peer, unsigned) {
  return in([=](CUcontext c) {
    if (contexts.count(peer) == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (!peers(c->device, peer->device)) return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    const bool fresh = c->peers.insert(peer).second;
    return fresh ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  });
}

CALL cuCtxDisablePeerAccess(CUcontext peer) {
  return in([=](CUcontext c) {
    return c->peers.erase(peer) > 0 ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
  });
}

// show hides the memory of other GPUs from kernels of a context that has no access to it, or brings
// it back.
static void show(CUcontext c, bool all) {
  for (CUcontext o : contexts) {
    if (o->device == c->device || c->peers.count(o) > 0) continue;
    for (auto& [p, n] : o->memory) emu::hide(p, !all);
  }
}

// Modules. An image is a list of kernels, or a fatbin that is not compressed, in which the names of
// kernels can be found. The code of kernels is this library's.

// Fatbin is how a fatbin begins.
struct Fatbin {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;  // after the header
};

// symbols returns what the names of an image's kernels are looked up in, each after separator and
// before another.
static std::string symbols(const void* image, char* separator) {
  const char list[] = "longtake kernels\n";
  *separator = '\n';
  if (strncmp((const char*)image, list, strlen(list)) == 0) return (const char*)image;
  Fatbin f;
  memcpy(&f, image, sizeof f);
  *separator = '\0';
  if (f.magic == 0xba55ed50) return std::string((const char*)image, f.header_bytes + f.bytes);
  return "";
}

CALL cuModuleLoadData(CUmodule* m, const void* image) {
  return in([=](CUcontext c) {
    char separator;
    std::string names = symbols(image, &separator);
    if (names.empty())
      return refuse(CUDA_ERROR_INVALID_IMAGE, "the module is neither a list of kernels nor a fatbin");
    c->modules.insert(*m = new CUmod_st{{}, std::move(names), separator});
    return CUDA_SUCCESS;
  });
}

CALL cuModuleUnload(CUmodule m) {
  return in([=](CUcontext c) {
    if (c->modules.erase(m) == 0) return CUDA_ERROR_INVALID_HANDLE;
    flush_all(c, false);
    delete m;
    return CUDA_SUCCESS;
  });
}

CALL cuModuleGetFunction(CUfunction* f, CUmodule m, const char* name) {
  return in([=](CUcontext c) {
    if (c->modules.count(m) == 0) return CUDA_ERROR_INVALID_HANDLE;
    const emu::Kernel* k = emu::find(name);
    const std::string symbol = m->separator + std::string(name) + m->separator;
    if (k == nullptr || m->names.find(symbol) == std::string::npos)
      return CUDA_ERROR_NOT_FOUND;
    *f = &m->functions.try_emplace(name, CUfunc_st{k, gpu()->shared}).first->second;
    return CUDA_SUCCESS;
  });
}

CALL cuFuncGetAttribute(int* v, CUfunction_attribute a, CUfunction f) {
  if (a != CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK) return CUDA_ERROR_INVALID_VALUE;
  *v = (int)f->kernel->threads;
  return CUDA_SUCCESS;
}

CALL cuFuncSetAttribute(CUfunction f, CUfunction_attribute a, int v) {
  if (a != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || v > gpu()->shared_most)
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s: attribute %d cannot be %d", f->kernel->name, a, v);
  f->shared_most = v;
  return CUDA_SUCCESS;
}

// Launches.

static CUresult check(CUfunction f, const unsigned* grid, const unsigned* block, unsigned shared) {
  const char* name = f->kernel->name;
  for (int i = 0; i < 3; i++) {
    if (grid[i] == 0 || grid[i] > emu::GRID_MOST[i])
      return refuse(CUDA_ERROR_INVALID_VALUE, "%s: a grid of %u x %u x %u blocks", name, grid[0],
                    grid[1], grid[2]);
    if (block[i] == 0 || block[i] > emu::BLOCK_MOST[i])
      return refuse(CUDA_ERROR_INVALID_VALUE, "%s: a block of %u x %u x %u threads", name, block[0],
                    block[1], block[2]);
  }
  const unsigned long threads = (unsigned long)block[0] * block[1] * block[2];
  if (threads > emu::THREADS_MOST || threads != f->kernel->threads)
    return refuse(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "%s: %lu threads per block, it is made for %u",
                  name, threads, f->kernel->threads);
  if (grid[0] % f->kernel->cluster != 0)
    return refuse(CUDA_ERROR_INVALID_CLUSTER_SIZE, "%s: a grid of %u blocks, which come in clusters of %u",
                  name, grid[0], f->kernel->cluster);
  if (shared > (unsigned)f->shared_most)
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s: %u bytes of shared memory, allowed are %d", name,
                  shared, f->shared_most);
  return CUDA_SUCCESS;
}

CALL cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                    unsigned bz, unsigned shared, CUstream s, void** params, void**) {
  return in([=](CUcontext c) {
    const unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
    if (CUresult r = check(f, grid, block, shared); r != CUDA_SUCCESS) return r;
    std::vector<uint64_t> values(f->kernel->parameters);
    for (size_t i = 0; i < values.size(); i++) memcpy(&values[i], params[i], 8);
    return issue(c, s, [=]() mutable {
      std::vector<void*> at;
      for (uint64_t& v : values) at.push_back(&v);
      const int most = f->shared_most > gpu()->shared ? gpu()->shared_most : gpu()->shared;
      emu::Launch l = {f->kernel, {gx, gy, gz}, {bx, by, bz}, at.data(), gpu()->shared, most, shared,
                       (unsigned)(10 * gpu()->major + gpu()->minor), ""};
      show(c, false);
      emu::run(&l);
      show(c, true);
      return l.failure.empty() ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
    });
  });
}

// Memory.

CALL cuMemGetInfo(size_t* left, size_t* total) {
  return in([=](CUcontext c) {
    *total = memory_bytes();
    *left = *total - used[c->device];
    return CUDA_SUCCESS;
  });
}

CALL cuMemAlloc(CUdeviceptr* p, size_t n) {
  return in([=](CUcontext c) {
    if (n == 0) return CUDA_ERROR_INVALID_VALUE;
    if (used[c->device] + n > memory_bytes()) return CUDA_ERROR_OUT_OF_MEMORY;
    void* m = emu::take(n);
    if (m == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    used[c->device] += n;
    c->memory[m] = n;
    *p = (CUdeviceptr)m;
    return CUDA_SUCCESS;
  });
}

CALL cuMemFree(CUdeviceptr p) {
  return in([=](CUcontext c) {
    flush_all(c, false);
    auto at = c->memory.find((void*)p);
    char why[200] = "memory of another context";
    bool ok = at != c->memory.end();
    if (ok) {
      used[c->device] -= at->second;
      c->memory.erase(at);
    }
    if (ok) ok = emu::give((void*)p, why, sizeof why);
    return ok ? CUDA_SUCCESS : refuse(CUDA_ERROR_INVALID_VALUE, "cuMemFree: %s", why);
  });
}

CALL cuMemHostAlloc(void** p, size_t n, unsigned) {
  return in([=](CUcontext c) {
    if (posix_memalign(p, 4096, n) != 0) return CUDA_ERROR_OUT_OF_MEMORY;
    c->pinned[*p] = n;
    return CUDA_SUCCESS;
  });
}

CALL cuMemFreeHost(void* p) {
  return in([=](CUcontext c) {
    flush_all(c, false);
    if (c->pinned.erase(p) == 0) return CUDA_ERROR_INVALID_VALUE;
    free(p);
    return CUDA_SUCCESS;
  });
}

CALL cuMemcpyHtoDAsync(CUdeviceptr d, const void* h, size_t n, CUstream s) {
  return in([=](CUcontext c) {
    if (CUresult r = on_gpu(c, d, n, "cuMemcpyHtoDAsync"); r != CUDA_SUCCESS) return r;
    return copy_host(c, (void*)d, h, n, h, s);
  });
}

CALL cuMemcpyDtoHAsync(void* h, CUdeviceptr d, size_t n, CUstream s) {
  return in([=](CUcontext c) {
    if (CUresult r = on_gpu(c, d, n, "cuMemcpyDtoHAsync"); r != CUDA_SUCCESS) return r;
    return copy_host(c, h, (void*)d, n, h, s);
  });
}

CALL cuMemcpyHtoD(CUdeviceptr d, const void* h, size_t n) {
  return in([=](CUcontext c) {
    flush_all(c, true);
    CUresult r = cuMemcpyHtoDAsync(d, h, n, nullptr);
    return r != CUDA_SUCCESS ? r : flush(c, &c->legacy);
  });
}

CALL cuMemcpyDtoH(void* h, CUdeviceptr d, size_t n) {
  return in([=](CUcontext c) {
    flush_all(c, true);
    CUresult r = cuMemcpyDtoHAsync(h, d, n, nullptr);
    return r != CUDA_SUCCESS ? r : flush(c, &c->legacy);
  });
}

CALL cuMemcpyDtoDAsync(CUdeviceptr d, CUdeviceptr from, size_t n, CUstream s) {
  return in([=](CUcontext c) {
    if (CUresult r = on_gpu(c, d, n, "cuMemcpyDtoDAsync"); r != CUDA_SUCCESS) return r;
    if (CUresult r = on_gpu(c, from, n, "cuMemcpyDtoDAsync"); r != CUDA_SUCCESS) return r;
    return issue(c, s, [=] {
      memmove((void*)d, (void*)from, n);
      return CUDA_SUCCESS;
    });
  });
}

// cuMemcpyPeerAsync needs no access: without it the driver stages on the host.
CALL cuMemcpyPeerAsync(CUdeviceptr d, CUcontext to, CUdeviceptr from, CUcontext of, size_t n,
                       CUstream s) {
  return in([=](CUcontext c) {
    for (CUcontext e : {to, of})
      if (contexts.count(e) == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (CUresult r = on_gpu(to, d, n, "cuMemcpyPeerAsync"); r != CUDA_SUCCESS) return r;
    if (CUresult r = on_gpu(of, from, n, "cuMemcpyPeerAsync"); r != CUDA_SUCCESS) return r;
    return issue(c, s, [=] {
      if (contexts.count(of) == 0 || on_gpu(of, from, n, "a copy of a peer") != CUDA_SUCCESS)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
      memcpy((void*)d, (void*)from, n);
      return CUDA_SUCCESS;
    });
  });
}

CALL cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, CUstream s) {
  return in([=](CUcontext c) {
    if (CUresult r = on_gpu(c, d, n, "cuMemsetD8Async"); r != CUDA_SUCCESS) return r;
    return issue(c, s, [=] {
      memset((void*)d, v, n);
      return CUDA_SUCCESS;
    });
  });
}

// Side is one end of a 2D copy.
struct Side {
  char* at;
  size_t pitch;
  bool host;
};

static Side source(const CUDA_MEMCPY2D* p) {
  const bool host = p->srcMemoryType == CU_MEMORYTYPE_HOST;
  const char* base = host ? (const char*)p->srcHost : (const char*)p->srcDevice;
  return {(char*)base + p->srcY * p->srcPitch + p->srcXInBytes, p->srcPitch, host};
}

static Side target(const CUDA_MEMCPY2D* p) {
  const bool host = p->dstMemoryType == CU_MEMORYTYPE_HOST;
  char* base = host ? (char*)p->dstHost : (char*)p->dstDevice;
  return {base + p->dstY * p->dstPitch + p->dstXInBytes, p->dstPitch, host};
}

CALL cuMemcpy2DAsync(const CUDA_MEMCPY2D* p, CUstream s) {
  const size_t rows = p->Height, width = p->WidthInBytes;
  const Side from = source(p), to = target(p);
  return in([=](CUcontext c) {
    for (const Side& e : {from, to}) {
      const size_t span = rows == 0 ? 0 : (rows - 1) * e.pitch + width;
      if (rows > 1 && e.pitch < width)
        return refuse(CUDA_ERROR_INVALID_VALUE, "cuMemcpy2DAsync: rows of %zu bytes, %zu apart",
                      width, e.pitch);
      if (e.host) continue;
      if (CUresult r = on_gpu(c, (CUdeviceptr)e.at, span, "cuMemcpy2DAsync"); r != CUDA_SUCCESS) return r;
    }
    CUresult r = issue(c, s, [=] {
      for (size_t i = 0; i < rows; i++) memmove(to.at + i * to.pitch, from.at + i * from.pitch, width);
      return CUDA_SUCCESS;
    });
    bool later = true;
    for (const Side& e : {from, to})
      later = later && (!e.host || is_pinned(c, e.at, rows == 0 ? 0 : (rows - 1) * e.pitch + width));
    return r != CUDA_SUCCESS || later ? r : flush(c, of(c, s));
  });
}

// Streams and events.

CALL cuStreamCreate(CUstream* s, unsigned flags) {
  return in([=](CUcontext c) {
    c->streams.insert(*s = new CUstream_st{(flags & CU_STREAM_NON_BLOCKING) == 0, ++c->made});
    return CUDA_SUCCESS;
  });
}

CALL cuStreamDestroy(CUstream s) {
  return in([=](CUcontext c) {
    if (s == nullptr || !known(c, s)) return CUDA_ERROR_INVALID_HANDLE;
    flush(c, s);
    c->streams.erase(s);
    for (CUevent e : c->events)
      if (e->stream == s) e->stream = nullptr;
    delete s;
    return CUDA_SUCCESS;
  });
}

CALL cuStreamSynchronize(CUstream s) {
  return in([=](CUcontext c) {
    if (!known(c, s)) return CUDA_ERROR_INVALID_HANDLE;
    return s == nullptr ? flush_all(c, true) : flush(c, s);
  });
}

CALL cuStreamQuery(CUstream s) {
  return in([=](CUcontext c) {
    if (!known(c, s)) return CUDA_ERROR_INVALID_HANDLE;
    return of(c, s)->waiting.empty() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}

CALL cuEventCreate(CUevent* e, unsigned flags) {
  return in([=](CUcontext c) {
    c->events.insert(*e = new CUevent_st{(flags & CU_EVENT_DISABLE_TIMING) == 0});
    return CUDA_SUCCESS;
  });
}

CALL cuEventDestroy(CUevent e) {
  return in([=](CUcontext c) {
    if (c->events.erase(e) == 0) return CUDA_ERROR_INVALID_HANDLE;
    delete e;
    return CUDA_SUCCESS;
  });
}

CALL cuEventRecord(CUevent e, CUstream s) {
  return in([=](CUcontext c) {
    if (c->events.count(e) == 0 || !known(c, s)) return CUDA_ERROR_INVALID_HANDLE;
    const Moment when = e->when = std::make_shared<double>(0);
    issue(c, s, [=] {
      *when = now();
      return CUDA_SUCCESS;
    });
    e->stream = of(c, s);
    e->after = e->stream->issued;
    return CUDA_SUCCESS;
  });
}

static CUresult reach(CUcontext c, CUevent e) {
  return e->stream == nullptr ? CUDA_SUCCESS : flush(c, e->stream, e->after);
}

CALL cuEventSynchronize(CUevent e) {
  return in([=](CUcontext c) {
    return c->events.count(e) == 0 ? CUDA_ERROR_INVALID_HANDLE : reach(c, e);
  });
}

CALL cuEventElapsedTime(float* milliseconds, CUevent from, CUevent to) {
  return in([=](CUcontext c) {
    for (CUevent e : {from, to})
      if (c->events.count(e) == 0 || !e->timed || e->stream == nullptr)
        return CUDA_ERROR_INVALID_HANDLE;
    if (*from->when == 0 || *to->when == 0) return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)((*to->when - *from->when) * 1e3);
    return CUDA_SUCCESS;
  });
}

CALL cuEventQuery(CUevent e) {
  return in([=](CUcontext c) {
    if (c->events.count(e) == 0) return CUDA_ERROR_INVALID_HANDLE;
    const bool done = e->stream == nullptr || e->stream->done >= e->after;
    return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}

// owner_of returns the context of an event, which any stream may wait for.
static CUcontext owner_of(CUevent e) {
  for (CUcontext c : contexts)
    if (c->events.count(e) > 0) return c;
  return nullptr;
}

CALL cuStreamWaitEvent(CUstream s, CUevent e, unsigned) {
  return in([=](CUcontext c) {
    const CUcontext owner = owner_of(e);
    if (owner == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (e->stream == nullptr) return known(c, s) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    const CUstream other = e->stream;
    const uint64_t after = e->after;
    const Moment when = e->when;
    auto wait = [=] { return *when != 0 ? CUDA_SUCCESS : flush(owner, other, after); };
    return issue(c, s, wait, when);
  });
}
