// Tensor cores, as sm_80 and newer have them: products of small matrices of bfloat16 that the 32
// lanes of a warp hold together, 16 x 16 times 16 x 8. The whole warp calls each function.
//
// Which lane holds what is in the PTX ISA, "Matrix fragments for mma.m16n8k16". With g = lane / 4
// and t = lane % 4, two neighbours in a register, the lower column or k in its lower half:
//   a, 16 x 16: rows g, g+8, g, g+8; columns 2t and 2t+1, in the last two registers 8 further
//   b, 16 x 8:  k 2t and 2t+1, in the last register 8 further; column g
//   c, 16 x 8:  rows g, g, g+8, g+8; columns 2t, 2t+1, 2t, 2t+1
//
// How tensor cores add the 16 products is not specified, but known: see rounding.h.
#pragma once

#include "copy.h"
#include "rounding.h"

// Fragment is registers of a lane that hold pairs of bfloat16.
template <int N> struct Fragment {
  uint32_t of[N];
};

#ifdef __CUDACC__

// load_matrices brings four 8 x 8 matrices from shared memory. `row` is 8 elements, on a multiple
// of 16 bytes: lanes 0 to 7 name the rows of the first matrix, lanes 8 to 15 of the second, and so on.
// Register m holds elements 2t and 2t+1 of row g of matrix m.
DEVICE Fragment<4> load_matrices(Shared<bf16> row) {
  Fragment<4> f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.of[0]), "=r"(f.of[1]), "=r"(f.of[2]), "=r"(f.of[3])
               : "r"(shared_address(row))
               : "memory");
  return f;
}

// store stores 8 elements of a row, on a multiple of 16 bytes.
DEVICE void store(Shared<bf16> row, const Sixteen& x) { *reinterpret_cast<Sixteen*>(row) = x; }

// load_transposed is load_matrices with each matrix transposed: rows 2t and 2t+1 of column g.
DEVICE Fragment<4> load_transposed(Shared<bf16> row) {
  Fragment<4> f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.of[0]), "=r"(f.of[1]), "=r"(f.of[2]), "=r"(f.of[3])
               : "r"(shared_address(row))
               : "memory");
  return f;
}

// multiply_add computes c += a·b, with b0 and b1 the registers of b.
DEVICE void multiply_add(float* c, const Fragment<4>& a, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.of[0]), "r"(a.of[1]), "r"(a.of[2]), "r"(a.of[3]), "r"(b0), "r"(b1));
}

#else

DEVICE void store(Shared<bf16> row, const Sixteen& x) {
  emu::aligned_run(row.array, row.from, "store");
  for (int i = 0; i < 8; i++) emu::writing(row.array, row.from + i);
  memcpy(row.array->data + 2 * row.from, &x, sizeof x);
}

// matrix_rows reads the lane's row and returns the rows of all lanes.
DEVICE const emu::Slots& matrix_rows(Shared<bf16> row, const char* what) {
  emu::aligned_run(row.array, row.from, what);
  for (int i = 0; i < 8; i++) emu::reading(row.array, row.from + i);
  return emu::exchange(row.array->data + 2 * row.from, 16, what);
}

DEVICE bf16 element(const emu::Slots& rows, int row, int column) {
  bf16 x;
  memcpy(&x, rows[row] + 2 * column, sizeof x);
  return x;
}

DEVICE Fragment<4> load_matrices(Shared<bf16> row) {
  const emu::Slots& rows = matrix_rows(row, "load_matrices");
  const int g = emu::self->flat % 32 / 4, t = emu::self->flat % 4;
  Fragment<4> f;
  for (int m = 0; m < 4; m++)
    f.of[m] = element(rows, 8 * m + g, 2 * t) | (uint32_t)element(rows, 8 * m + g, 2 * t + 1) << 16;
  return f;
}

DEVICE Fragment<4> load_transposed(Shared<bf16> row) {
  const emu::Slots& rows = matrix_rows(row, "load_transposed");
  const int g = emu::self->flat % 32 / 4, t = emu::self->flat % 4;
  Fragment<4> f;
  for (int m = 0; m < 4; m++)
    f.of[m] = element(rows, 8 * m + 2 * t, g) | (uint32_t)element(rows, 8 * m + 2 * t + 1, g) << 16;
  return f;
}

namespace emu {

// Operands is what a lane brings to a product.
struct Operands {
  float c[4];
  uint32_t a[4], b[2];
};
static_assert(sizeof(Operands) <= SLOT, "a lane brings its operands");

// Matrices is the whole of them.
struct Matrices {
  float a[16][16], c[16][8];
  Terms b;
};

inline void collect(Matrices& m, const Operands& o, int g, int t) {
  for (int i = 0; i < 2; i++) {
    for (int r = 0; r < 4; r++)
      m.a[g + r % 2 * 8][2 * t + r / 2 * 8 + i] = widen((bf16)(o.a[r] >> 16 * i));
    for (int r = 0; r < 2; r++) m.b.set(2 * t + 8 * r + i, g, widen((bf16)(o.b[r] >> 16 * i)));
    for (int r = 0; r < 2; r++) m.c[g + 8 * r][2 * t + i] = o.c[2 * r + i];
  }
}

inline void multiply_add(Slots& slots) {
  static thread_local Matrices* const room = new Matrices;
  Matrices& m = *room;
  Operands o;
  m.b.n = 8;
  for (int lane = 0; lane < 32; lane++) {
    memcpy(&o, slots[lane], sizeof o);
    collect(m, o, lane / 4, lane % 4);
  }
  exponents(m.b, 16);
  const Adder how = adder_of(2, false);
  for (int i = 0; i < 16; i++) add_products(how, m.a[i], m.b, 16, m.c[i]);
  for (int lane = 0; lane < 32; lane++)
    for (int r = 0; r < 4; r++)
      memcpy(slots[lane] + 4 * r, &m.c[lane / 4 + r / 2 * 8][lane % 4 * 2 + r % 2], 4);
}

}  // namespace emu

DEVICE void multiply_add(float* c, const Fragment<4>& a, uint32_t b0, uint32_t b1) {
  emu::Operands o;
  memcpy(o.c, c, sizeof o.c);
  memcpy(o.a, a.of, sizeof o.a);
  o.b[0] = b0;
  o.b[1] = b1;
  const emu::Slots& all = emu::exchange(&o, sizeof o, "multiply_add", emu::multiply_add);
  memcpy(c, all[emu::self->flat % 32], sizeof o.c);
}

#endif
