// The host's side of kernel.h: a faithful model of what kernels use of a GPU. Threads of a block
// are fibers of one operating system thread; barriers and collectives of a warp are where they take
// turns. The model fails loudly, through emu::fail, on what hardware forbids or leaves undefined:
// shared memory read or written without a barrier in between, indices out of bounds, barriers that
// not every thread reaches, warps that diverge at a collective.
#pragma once

#include <string.h>

#include <type_traits>
#include <utility>
#include <vector>

#define DEVICE static inline
#define DEVICE_MEMBER inline
// Loops stay loops here: unrolled, kernels took five times as long to compile, and they compute the
// same bits.
#define UNROLL
#define ROLLED
#define __global__
#define __restrict__
#define KERNEL(threads, name) extern "C" void name
#define KERNEL_ALONE(threads, name) KERNEL(threads, name)

namespace emu {

struct Dim { unsigned x, y, z; };
struct Block;

// Word is what is known of one element of shared memory: who wrote and read it last, and in which
// stretch between two barriers; and who has a copy to it under way.
struct Word {
  uint32_t written, read;    // stretch
  uint16_t writer, reader;   // thread
  uint16_t copier;           // thread + 1, 0 for none
};
constexpr uint16_t MANY = 0xffff;  // readers

// Array is one __shared__ array of a block.
struct Array {
  const void* tag;
  const char* name;
  char* data;
  Word* words;
  i64 count, size;  // elements, bytes of one
};

// Copy is an asynchronous copy of 16 bytes under way: to elements [at, at+16/size) of an array, or to
// an address of tile memory.
struct Copy {
  const Array* array;  // null: tile memory
  i64 at;
  const char* from;
  int bytes;       // the others become zeros
  unsigned group;  // number of the group that it was committed with, or will be
};

// Thread is one thread of the block at work.
struct Thread {
  Dim index;      // threadIdx
  unsigned flat;  // its number in the block
  Block* block;
  std::vector<Copy> copies;  // in order
  unsigned groups;           // committed so far
};

// Block is what threads of a block have in common.
struct Block {
  Dim index, grid, dim;
  uint32_t stretch;  // number of the stretch between two barriers, never used again
  unsigned rank;     // in its cluster
};

extern thread_local Thread* self __attribute__((tls_model("initial-exec")));

// fail ends the kernel: it says what went wrong and where, and does not return.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void race(const Array* a, i64 i, bool writing);
[[noreturn]] void outside(const Array* a, i64 i);
[[noreturn]] void under_way(const Array* a, i64 i, const char* doing);

// shared_array finds or makes the block's array of a tag.
Array* shared_array(const void* tag, const char* name, i64 count, i64 size);
// dynamic_array is the block's dynamic shared memory, which must be count elements of size bytes.
Array* dynamic_array(const char* name, i64 count, i64 size);
// block_sync waits for every thread of the block that has not returned.
void block_sync(const char* file, int line);
// SLOT is the bytes that a lane can bring to a collective of its warp.
constexpr int SLOT = 64;
typedef char Slots[32][SLOT];
// exchange gives bytes to the other lanes and returns those of all 32, once every lane is here. One
// lane calls work on them before, if there is some.
const Slots& exchange(const void* mine, size_t size, const char* what,
                      void (*work)(Slots&) = nullptr);

// aligned wants an access of so many bytes to be at a multiple of them.
inline void aligned(const void* p, size_t bytes, const char* what) {
  if ((uintptr_t)p % bytes != 0) fail("misaligned: %s at %p, no multiple of %zu", what, p, bytes);
}

// copy_start begins a copy of 16 bytes to shared memory, copy_commit closes a group of them, and
// copy_wait does those of all groups but the last `left`; copy_end is for threads that return.
void copy_start(const Array* a, i64 at, const void* from, int bytes);
void copy_commit();
void copy_wait(unsigned left);
void copy_end();
// aligned_run checks that 16 bytes from an element on are inside an array and aligned.
void aligned_run(const Array* a, i64 at, const char* what);

inline void reading(const Array* a, i64 i) {
  if ((uint64_t)i >= (uint64_t)a->count) outside(a, i);
  Word& w = a->words[i];
  const uint32_t now = self->block->stretch;
  const uint16_t me = (uint16_t)self->flat;
  if (w.copier != 0) under_way(a, i, "read");
  if (w.written == now && w.writer != me) race(a, i, false);
  if (w.read != now) {
    w.read = now;
    w.reader = me;
  } else if (w.reader != me) {
    w.reader = MANY;
  }
}

inline void writing(const Array* a, i64 i) {
  if ((uint64_t)i >= (uint64_t)a->count) outside(a, i);
  Word& w = a->words[i];
  const uint32_t now = self->block->stretch;
  const uint16_t me = (uint16_t)self->flat;
  if (w.copier != 0) under_way(a, i, "written");
  if ((w.written == now && w.writer != me) || (w.read == now && w.reader != me)) race(a, i, true);
  w.written = now;
  w.writer = me;
}

// Element stands for one element of shared memory.
template <class T> struct Element {
  const Array* array;
  i64 at;
  T* data() const { return reinterpret_cast<T*>(array->data); }
  operator T() const {
    reading(array, at);
    return data()[at];
  }
  Element& operator=(T x) {
    writing(array, at);
    data()[at] = x;
    return *this;
  }
  Element& operator=(const Element& o) { return *this = (T)o; }
};

// Shared is a run of shared memory that begins at an element.
template <class T> struct Shared {
  const Array* array;
  i64 from;
  Element<T> operator[](i64 i) const { return {array, from + i}; }
  Shared operator+(i64 n) const { return {array, from + n}; }
};

// Kernel is a kernel that can be launched by its name.
struct Kernel {
  const char* name;
  unsigned threads;  // of a block
  unsigned cluster;  // blocks that run together, neighbours along x
  int parameters;
  void (*call)(void** params);
  Kernel* next;
};

void add(Kernel*);

template <class F> struct Call;
template <class... A> struct Call<void (*)(A...)> {
  static_assert(((sizeof(A) == 8 && std::is_trivially_copyable_v<A>)&&...), "8 bytes a parameter");
  static constexpr int count = sizeof...(A);
  template <class F, size_t... I> static void with(F f, void** p, std::index_sequence<I...>) {
    f(*static_cast<A*>(p[I])...);
  }
  template <class F> static void with(F f, void** p) {
    with(f, p, std::make_index_sequence<sizeof...(A)>());
  }
};

}  // namespace emu

#define LAUNCHABLE(threads_, name_) LAUNCHABLE_CLUSTER(threads_, 1, name_)
#define LAUNCHABLE_CLUSTER(threads_, blocks_, name_)                                              \
  static struct name_##_entry : emu::Kernel {                                                     \
    name_##_entry() {                                                                             \
      name = #name_, threads = threads_, cluster = blocks_;                                       \
      parameters = emu::Call<decltype(&name_)>::count;                                            \
      call = [](void** p) { emu::Call<decltype(&name_)>::with(&name_, p); };                      \
      emu::add(this);                                                                             \
    }                                                                                             \
  } name_##_entry_;

template <class T> using Shared = emu::Shared<T>;
#define SHARED(T, name, count)                                                                    \
  static const char name##_tag = 0;                                                               \
  const emu::Shared<T> name = {emu::shared_array(&name##_tag, #name, count, sizeof(T)), 0}
#define DYNAMIC(T, name, count)                                                                   \
  const emu::Shared<T> name = {emu::dynamic_array(#name, count, sizeof(T)), 0}

#define threadIdx (emu::self->index)
#define blockIdx (emu::self->block->index)
#define blockDim (emu::self->block->dim)
#define gridDim (emu::self->block->grid)
#define __syncthreads() emu::block_sync(__FILE__, __LINE__)

DEVICE float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

DEVICE uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

DEVICE float shuffle_xor(float x, int lanes) {
  const emu::Slots& all = emu::exchange(&x, sizeof x, "shuffle_xor");
  float other;
  memcpy(&other, all[(emu::self->flat ^ (unsigned)lanes) % 32], sizeof other);
  return other;
}

DEVICE bool any_lane(bool x) {
  const emu::Slots& all = emu::exchange(&x, sizeof x, "any_lane");
  bool any = false;
  for (const auto& lane : all) any = any || lane[0] != 0;
  return any;
}
