// How v3 stores a row's results: two neighbouring columns of a lane at a time, in whatever form they
// are wanted. The way is found once, and the code of each way is a run without branches: a block goes
// through it once, so its length is paid for in fetching it.
#pragma once

#include "../include/pairs.h"

namespace attention {

// TWO stores two float32 at once, PIECE two bfloat16 in panels; ONE, each by itself, always works.
enum Way { TWO, PIECE, ONE };

// Result is a head's columns of a matrix: from `column` on, `cols` of them.
struct Result {
  operand::Matrix dst;
  i64 column, cols;

  DEVICE_MEMBER Way way() const {
    if (column % 8 != 0 || cols % 2 != 0) return ONE;
    if (dst.form == operand::PANELS) return (i64)dst.at % 16 == 0 ? PIECE : ONE;
    return dst.form == operand::FLOATS && (i64)dst.at % 8 == 0 && dst.ld % 2 == 0 ? TWO : ONE;
  }

  // put stores columns col and col+1 of the head, as far as they are there: col is 8 times n and twice
  // w, up to 3.
  template <Way WAY> DEVICE_MEMBER void put(i64 row, int n, int w, float y, float z) const {
    const i64 col = 8 * n + 2 * w, at = column + col;
    if (col >= cols) return;
    if (WAY == TWO) {
      write_two((float*)dst.at + row * dst.ld + at, {y, z});
    } else if (WAY == PIECE) {
      // The pieces of 16 bytes from the first of its panel on, where dst.at may lie in between.
      const i64 start = (i64)dst.at & (operand::PANEL_ROW - 1), piece = start / 16 + column / 8 + n;
      const i64 line = (i64)dst.at - start + (piece / 8 * dst.ld + row) * operand::PANEL_ROW;
      *(uint32_t*)(line + ((piece ^ line >> 7) & 7) * 16 + 4 * w) = pair(y, z);
    } else {
      dst.put(row, at, y);
      if (col + 1 < cols) dst.put(row, at + 1, z);
    }
  }
};

}  // namespace attention
