// Which keys a block of queries attends to: all, or the tiles that a list names (compute.KeyTiles).
#pragma once

namespace attention {

// LISTED is the tokens of a listed tile, of queries and of keys: a multiple of every kernel's tile
// of keys and of its queries in a block.
constexpr int LISTED = 384;

// Walk is a block's tiles of KEYS keys in their order: at(0) to at(count-1). Numbers are int, as
// registers are scarce, and lists stays a parameter of the kernel.
template <int KEYS> struct Walk {
  static constexpr int EACH = LISTED / KEYS;  // tiles of KEYS in a listed one
  const int* lists;                           // null: all tiles
  int from, count;                            // where the block's list begins in lists
  DEVICE_MEMBER i64 at(int n) const {
    return lists ? (i64)lists[from + n / EACH] * EACH + n % EACH : n;
  }
};

// walk_of returns the tiles of a query, and of the others in its listed tile. lists: where the list
// of each tile of queries begins in it, and the last one ends, then the lists; or null.
template <int KEYS> DEVICE Walk<KEYS> walk_of(const int* lists, i64 query, i64 nk) {
  constexpr int EACH = Walk<KEYS>::EACH;
  const int all = (int)((nk + KEYS - 1) / KEYS);
  if (!lists) return {lists, 0, all};
  const int from = lists[query / LISTED], last = lists[query / LISTED + 1] - 1;
  // The last tile of keys may be shorter, and only the last of a list can be that one.
  const int left = all - lists[last] * EACH;
  return {lists, from, (last - from) * EACH + (left < EACH ? left : EACH)};
}

}  // namespace attention
