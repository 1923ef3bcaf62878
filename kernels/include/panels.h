// Panels are how v3 keeps a matrix [rows, cols] in bfloat16, so that bulk copies bring it to shared
// memory as wgmma reads it: 64 columns of every row, 128 bytes a row, row after row, then the next 64
// columns. Eight rows from a multiple of 8 on are in 128-byte swizzled order, so that any run of rows
// from there on is one run of bytes. Columns beyond the last are zeros.
#pragma once

#include "wgmma.h"

namespace panels {

constexpr int COLS = 64;
constexpr int ROW_BYTES = 2 * COLS;
constexpr int PIECE = 8;                   // columns of 16 bytes
constexpr int PIECES = COLS / PIECE;       // of a row of a panel

// rounded_piece returns 8 numbers of a row from column c on, as bfloat16; beyond cols there are zeros.
DEVICE Sixteen rounded_piece(const float* row, i64 c, i64 cols) {
  Sixteen s;
  UNROLL
  for (int i = 0; i < 4; i++) {
    const i64 at = c + 2 * i;
    s.of[i] = pair(at < cols ? row[at] : 0.0f, at + 1 < cols ? row[at + 1] : 0.0f);
  }
  return s;
}

}  // namespace panels
