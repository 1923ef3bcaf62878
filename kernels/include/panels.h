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

}  // namespace panels
