package tokenizer

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// trie is a byte trie in breadth-first order: the children of node n are the nodes first[n] to
// first[n+1]-1, sorted by label. Node 0 is the root. Flat arrays without pointers keep it small for
// vocabularies of hundreds of thousands of pieces, and out of the garbage collector's way. The zero
// trie holds no key.
type trie struct {
	first []int32 // [nodes+1]: where the children of each node begin
	label []byte  // [nodes]: the byte that leads to the node
	value []int32 // [nodes], -1 where no key ends
}

// entry is one key of a trie, with the value that it maps to, 0 or more.
type entry struct {
	key   string
	value int32
}

// keyRange is the run of sorted entries whose keys share the path to one node, and the length of
// that path in bytes.
type keyRange struct{ lo, hi, depth int }

// newTrie builds the trie of entries. Of equal keys the last one counts. A queue of nodes makes the
// order breadth-first.
func newTrie(entries []entry) *trie {
	sorted := sortEntries(entries)
	t := &trie{label: []byte{0}, value: []int32{-1}}
	queue := []keyRange{{0, len(sorted), 0}}
	for node := 0; node < len(queue); node++ {
		t.first = append(t.first, int32(len(queue)))
		queue = t.grow(queue, sorted, node)
	}
	t.first = append(t.first, int32(len(queue)))
	return t
}

// sortEntries returns entries in the order of their keys, equal keys in their old order. Most keys
// differ within 8 bytes, which are compared as one number.
func sortEntries(entries []entry) []entry {
	type place struct {
		head uint64 // of the key, padded with zeros
		i    int32
	}

	order := make([]place, len(entries))
	for i, e := range entries {
		var head [8]byte
		copy(head[:], e.key)
		order[i] = place{binary.BigEndian.Uint64(head[:]), int32(i)}
	}

	slices.SortFunc(order, func(a, b place) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return cmp.Or(strings.Compare(entries[a.i].key, entries[b.i].key), cmp.Compare(a.i, b.i))
	})

	sorted := make([]entry, len(entries))
	for i, o := range order {
		sorted[i] = entries[o.i]
	}
	return sorted
}

// grow sets the value of node, and appends its children to the queue.
func (t *trie) grow(queue []keyRange, sorted []entry, node int) []keyRange {
	r := queue[node]

	// Keys that end here come first in the order.
	for r.lo < r.hi && len(sorted[r.lo].key) == r.depth {
		t.value[node] = sorted[r.lo].value
		r.lo++
	}

	// Then runs of keys with the same next byte, each of which is a child.
	for r.lo < r.hi {
		// The run's first byte after the path so far.
		label := sorted[r.lo].key[r.depth]

		// The run ends where the next byte changes.
		end := r.lo + 1
		for end < r.hi && sorted[end].key[r.depth] == label {
			end++
		}

		queue = append(queue, keyRange{r.lo, end, r.depth + 1})
		t.label = append(t.label, label)
		t.value = append(t.value, -1)
		r.lo = end
	}
	return queue
}

// child returns the child of node along label, or -1. It is a binary search among the children.
func (t *trie) child(node int32, label byte) int32 {
	lo, hi := t.first[node], t.first[node+1]
	for lo < hi {
		// In breadth-first order the children are contiguous, and their labels ascend.
		mid := (lo + hi) / 2
		if t.label[mid] < label {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < t.first[node+1] && t.label[lo] == label {
		return lo
	}
	return -1
}

// find returns the value of key, or -1.
func (t *trie) find(key string) int32 {
	node := int32(0)
	for i := 0; i < len(key) && node >= 0; i++ {
		node = t.child(node, key[i])
	}
	if node < 0 {
		return -1
	}
	return t.value[node]
}

// longest returns the value and the length in bytes of the longest key that text starts with; (-1,
// 0) where there is none.
func (t *trie) longest(text string) (value int32, size int) {
	value = -1
	node := int32(0)
	for i := 0; i < len(text); i++ {
		if node = t.child(node, text[i]); node < 0 {
			break
		}
		if t.value[node] >= 0 {
			value, size = t.value[node], i+1
		}
	}
	return value, size
}
