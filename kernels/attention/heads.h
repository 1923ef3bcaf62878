// How attention v3 wants keys and values: head after head in panels (../include/panels.h), so that
// any tile of keys is a run of bytes or one for each panel. Keys are panels of `pitch` rows, a
// multiple of a tile's keys. Values are transposed, since wgmma wants k contiguous: panels of 64 keys
// with `wide` rows, which are the head's columns. What is not there is zero.
#pragma once

#include "../include/panels.h"

namespace attention3 {

// value_piece returns where 8 keys of a head's values are, in pieces of 16 bytes: of its `count`
// panels which one, the column, and of the panel's 8 pieces of a column which one.
DEVICE i64 value_piece(i64 head, i64 count, i64 wide, i64 panel, i64 col, i64 piece) {
  const i64 row = (head * count + panel) * wide + col;
  return row * panels::PIECES + (piece ^ row % 8);
}

}  // namespace attention3
