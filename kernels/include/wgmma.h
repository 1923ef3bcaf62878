// Products of a warpgroup on Hopper's tensor cores (PTX ISA, wgmma.mma_async): sums [64, N] in float32
// of a [64, 16] and b [N, 16], both in bfloat16, k contiguous in memory ("K-major"). They overlap the
// threads: between a product and the wait for its group nobody may touch its registers, and a fence
// lies between touching registers and a product that has them.
#pragma once

#include "warpgroup.h"

namespace wgmma {

// Registers are N registers of a thread that products may have. A fragment of sums has N/2 numbers,
// where [4j+2i+c] is row 16·warp + lane/4 + 8i, column 8j + 2·(lane%4) + c of the 64 rows; a fragment
// of a has four, where [2h+i] are columns 8h + 2·(lane%4), +1 of row lane/4 + 8i of the warp's 16.
template <class T, int N> struct Registers {
  T of[N];
#ifdef __CUDACC__
  DEVICE_MEMBER T& operator[](int i) { return of[i]; }
#else
  emu::Use use;
  Registers() { emu::touch(&use); }
  Registers(const Registers&) = delete;
  ~Registers() { emu::abandoned(&use); }
  T& operator[](int i) {
    emu::touch(&use);
    return of[i];
  }
#endif
};

template <int N> using Sums = Registers<float, N / 2>;
typedef Registers<uint32_t, 4> Fragment;

// Swizzle says how 16-byte pieces of a matrix in shared memory lie. NONE: 8 rows of 16 bytes are 128
// bytes in a row. B32, B64, B128: 8 rows of so many bytes lie one after the other, from an address on
// that is a multiple of all their bytes, and bits 4, 4-5 or 4-6 of every address are xored with bits
// 7, 7-8 or 7-9.
enum Swizzle { NONE = 0, B128 = 1, B64 = 2, B32 = 3 };

// swizzled returns where a piece lies that would lie at an offset without B128's swizzle.
DEVICE uint32_t swizzled(uint32_t at) { return at ^ (at >> 7 & 7) << 4; }

// descriptor describes a matrix of 16 columns: where it begins, and how far 8 rows lie from the next
// 8. With NONE the second 8 columns lie `columns` bytes after the first; a swizzle has them next to it.
DEVICE uint64_t descriptor(uint32_t at, uint32_t rows, uint32_t columns, Swizzle s) {
  return (uint64_t)(at >> 4 & 0x3fff) | (uint64_t)(columns >> 4 & 0x3fff) << 16 |
         (uint64_t)(rows >> 4 & 0x3fff) << 32 | (uint64_t)s << 62;
}

// panel describes 16 columns of rows of 128 bytes in B128's order, from column k on.
DEVICE uint64_t panel(uint32_t at, int k) { return descriptor(at + 2 * k, 1024, 16, B128); }

// further describes what lies `bytes` behind what d describes, in the same tile memory: an addition,
// where a descriptor of its own would be several.
DEVICE uint64_t further(uint64_t d, uint32_t bytes) {
  return (d & 0xffffffff00000000ull) | (uint32_t)((uint32_t)d + (bytes >> 4));
}

DEVICE void fence() {
#ifdef __CUDACC__
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#else
  emu::wgmma_fence();
#endif
}

// commit makes a group of the products since the last one.
DEVICE void commit() {
#ifdef __CUDACC__
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
  emu::wgmma_commit();
#endif
}

#ifdef __CUDACC__
DEVICE void hold_one(float& x) { asm volatile("" : "+f"(x)::"memory"); }
DEVICE void hold_one(uint32_t& x) { asm volatile("" : "+r"(x)::"memory"); }
#endif

// hold keeps the compiler from moving what is done with registers across this place.
template <class T, int N> DEVICE void hold(Registers<T, N>& r) {
#ifdef __CUDACC__
  UNROLL
  for (int i = 0; i < N; i++) hold_one(r.of[i]);
#else
  (void)r;
#endif
}

// wait returns once all groups but the last GROUPS are done.
template <int GROUPS> DEVICE void wait() {
#ifdef __CUDACC__
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(GROUPS) : "memory");
#else
  emu::wgmma_wait(GROUPS);
#endif
}

#ifdef __CUDACC__
// Operands of products: 8 registers of sums, and their numbers in the instruction's text.
#define SUMS8(d, i)                                                                             \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),     \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define SUMS32(d, i) SUMS8(d, i), SUMS8(d, i + 8), SUMS8(d, i + 16), SUMS8(d, i + 24)
#define SUMS64(d, i) SUMS32(d, i), SUMS32(d, i + 32)
#define SUMS96(d, i) SUMS64(d, i), SUMS32(d, i + 64)
#define SUMS128(d, i) SUMS64(d, i), SUMS64(d, i + 64)
#define SUMS16(d, i) SUMS8(d, i), SUMS8(d, i + 8)
#define SUMS48(d, i) SUMS32(d, i), SUMS8(d, i + 32), SUMS8(d, i + 40)
#define TEXT32_0                                                                           \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23," \
  "%24,%25,%26,%27,%28,%29,%30,%31"
#define TEXT16_2 "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define TEXT32_1 \
  TEXT16_2 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define TEXT32_2                                                                               \
  "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86," \
  "%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define TEXT32_3                                                                              \
  "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114," \
  "%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define TEXT32 TEXT32_0
#define TEXT64 TEXT32_0 "," TEXT32_1
#define TEXT16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define TEXT48 TEXT32_0 "," TEXT16_2
#define TEXT96 TEXT64 "," TEXT32_2
#define TEXT128 TEXT64 "," TEXT32_2 "," TEXT32_3
// PRODUCT is the instruction with a in shared memory, PRODUCT_FRAGMENT with a in registers; S is N/2,
// and A, B, C, D, E number the operands after the sums.
#define PRODUCT(N, S, A, B, C)                                                                    \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #C ", 0;\n"                               \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" TEXT##S "}, %" #A     \
               ", %" #B ", add, 1, 1, 0, 0;\n}"                                                   \
               : SUMS##S(sums.of, 0)                                                              \
               : "l"(a), "l"(b), "r"((int)add))
#define PRODUCT_FRAGMENT(N, S, A, B, C, D, E)                                                     \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"                                    \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" TEXT##S "}, {%" #A    \
               ", %" #B ", %" #C ", %" #D "}, %" #E ", add, 1, 1, 0;\n}"                          \
               : SUMS##S(sums.of, 0)                                                              \
               : "r"(a.of[0]), "r"(a.of[1]), "r"(a.of[2]), "r"(a.of[3]), "l"(b))
#endif

// multiply begins sums = a·bᵀ, or sums += a·bᵀ, with both in shared memory.
template <int N> DEVICE void multiply(Sums<N>& sums, uint64_t a, uint64_t b, bool add) {
  static_assert(N == 32 || N == 64 || N == 96 || N == 128 || N == 192 || N == 256, "widths in use");
#ifdef __CUDACC__
  if constexpr (N == 32) PRODUCT(32, 16, 16, 17, 18);
  if constexpr (N == 64) PRODUCT(64, 32, 32, 33, 34);
  if constexpr (N == 96) PRODUCT(96, 48, 48, 49, 50);
  if constexpr (N == 128) PRODUCT(128, 64, 64, 65, 66);
  if constexpr (N == 192) PRODUCT(192, 96, 96, 97, 98);
  if constexpr (N == 256) PRODUCT(256, 128, 128, 129, 130);
#else
  emu::wgmma({sums.of, &sums.use, N, add, nullptr, nullptr, a, b});
#endif
}

// multiply begins sums += a·bᵀ with a in registers.
template <int N> DEVICE void multiply(Sums<N>& sums, Fragment& a, uint64_t b) {
  static_assert(N == 64 || N == 128, "widths in use");
#ifdef __CUDACC__
  if constexpr (N == 64) PRODUCT_FRAGMENT(64, 32, 32, 33, 34, 35, 36);
  if constexpr (N == 128) PRODUCT_FRAGMENT(128, 64, 64, 65, 66, 67, 68);
#else
  emu::wgmma({sums.of, &sums.use, N, true, a.of, &a.use, 0, b});
#endif
}

}  // namespace wgmma
