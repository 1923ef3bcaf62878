// Operands are how v2 and v3 read voxels and weights: numbers in bfloat16, in blocks of 128 bytes. With
// SPLIT a number x is two, high = x rounded and low = (x - high) rounded, and a block has 32 channels:
// their high halves, then their low ones. Without, a block has 64 channels, rounded. Channels beyond
// the last are zeros. Products of split numbers are high·high + high·low + low·high: what is left out
// is below 2^-17 of a product.
#pragma once

#include "../include/kernel.h"

namespace convolution {

constexpr int BLOCK_BYTES = 128;
constexpr int PIECES = BLOCK_BYTES / 16;  // of a block, 8 numbers each
constexpr int BLOCK = BLOCK_BYTES / 2;    // numbers of a block

// block_channels is how many channels a block has.
DEVICE constexpr int block_channels(bool split) { return split ? BLOCK / 2 : BLOCK; }

// low_half is what bfloat16 leaves of x, in bfloat16.
DEVICE bf16 low_half(float x) { return narrow(x - widen(narrow(x))); }

// piece_at is where a piece of a row of blocks lies in shared memory, in pieces: its order turns with
// the row as wgmma's swizzle of 128 bytes has it, so that 8 rows of one piece hit all banks.
DEVICE int piece_at(int row, int piece) { return row * PIECES + (piece ^ (row & 7)); }

}  // namespace convolution
