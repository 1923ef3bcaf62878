package tokenizer

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// trie is a byte trie in breadth-first order: the children of node n are the nodes
// first[n] .. first[n+1]-1, sorted by label. Node 0 is the root. The zero trie holds no key.
type trie struct {
	first []int32 // [nodes+1]
	label []byte  // [nodes]
	value []int32 // [nodes], -1 where no key ends
}

// entry is one key of a trie with the value it maps to (0 or more).
type entry struct {
	key   string
	value int32
}

// keyRange is the run of sorted entries that share the path to one node.
type keyRange struct{ lo, hi, depth int }

// newTrie builds the trie of entries. Of equal keys the last one counts.
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

// sortEntries returns entries in the order of their keys, equal keys as they came. Most keys differ
// within 8 bytes, which are compared as a number.
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

// grow sets the value of node and appends its children to the queue.
func (t *trie) grow(queue []keyRange, sorted []entry, node int) []keyRange {
	r := queue[node]
	for r.lo < r.hi && len(sorted[r.lo].key) == r.depth {
		t.value[node] = sorted[r.lo].value
		r.lo++
	}
	for r.lo < r.hi {
		label := sorted[r.lo].key[r.depth]
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

// child returns the node under node along label, or -1.
func (t *trie) child(node int32, label byte) int32 {
	lo, hi := t.first[node], t.first[node+1]
	for lo < hi {
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

// longest returns the value and the length in bytes of the longest key that text starts with;
// (-1, 0) where there is none.
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
