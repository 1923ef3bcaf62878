// Operands of products as kernels leave them: what makes a matrix stores it rounded to bfloat16 and
// where products read it, so that no product has to round it first. See README.md.
#pragma once

namespace operand {

// FLOATS is float32 in rows, which is no operand. ROWS is bfloat16 in rows, as v2 reads it. PANELS is
// what panels.h describes.
enum Form { FLOATS = 0, ROWS = 1, PANELS = 2 };

constexpr i64 PANEL_ROW = 128;  // bytes of a row of a panel, which has 64 columns

// write_pair stores two neighbouring elements, which share a word.
DEVICE void write_pair(char* to, float y, float z) {
#ifndef __CUDACC__
  emu::aligned(to, 4, "a pair");
#endif
  *(uint32_t*)to = pair(y, z);
}

// Matrix is a view that kernels store to, and copies read.
struct Matrix {
  char* at;  // of element (0, 0); in panels, where that would be if they were not swizzled
  i64 ld;    // elements from one row to the next; in panels, rows from one panel to the next
  i64 form;

  // offset returns how many bytes behind `at` element (i, j) of an operand lies. Panels begin at
  // multiples of 1,024 bytes, so that an address says where in its panel it is.
  DEVICE_MEMBER i64 offset(i64 i, i64 j) const {
    if (form == ROWS) return 2 * (i * ld + j);
    const i64 first = (i64)at & (PANEL_ROW - 1), col = (first >> 1) + j;
    const i64 to = (i64)at - first + ((col >> 6) * ld + i) * PANEL_ROW + (col & 63) * 2;
    return (to ^ (to >> 7 & 7) << 4) - (i64)at;
  }

  DEVICE_MEMBER float get(i64 i, i64 j) const {
    return form == FLOATS ? ((const float*)at)[i * ld + j] : widen(*(const bf16*)(at + offset(i, j)));
  }

  DEVICE_MEMBER void put(i64 i, i64 j, float y) const {
    if (form == FLOATS) ((float*)at)[i * ld + j] = y;
    else *(bf16*)(at + offset(i, j)) = narrow(y);
  }

  // pairs says whether elements j and j+1 of an operand, of even j, share a word of 4 bytes.
  DEVICE_MEMBER bool pairs() const { return (i64)at % 4 == 0 && (form == PANELS || ld % 2 == 0); }

  // put_pair stores elements j and j+1 of row i, which share a word.
  DEVICE_MEMBER void put_pair(i64 i, i64 j, float y, float z) const {
    write_pair(at + offset(i, j), y, z);
  }

  // put_two stores elements j and j+1 of row i.
  DEVICE_MEMBER void put_two(i64 i, i64 j, float y, float z) const {
    if (form == FLOATS) {
      ((float*)at)[i * ld + j] = y;
      ((float*)at)[i * ld + j + 1] = z;
      return;
    }
    if (pairs() && j % 2 == 0) put_pair(i, j, y, z);
    else put(i, j, y), put(i, j + 1, z);
  }
};

}  // namespace operand
