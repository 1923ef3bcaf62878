package tokenizer

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// unknownPenalty is how much lower than the worst piece an unknown character scores;
// SentencePiece's kUnkPenalty.
const unknownPenalty = 10

// unigram is the Unigram language model: pieces with log probabilities, of which the most likely
// sequence is taken (Kudo, "Subword Regularization", 2018; SentencePiece's EncodeOptimized).
type unigram struct {
	pieces  *trie       // piece to id
	scores  []float64   // [vocabulary]
	unknown int32       // id of the unknown token
	floor   float64     // score of an unknown character
	bytes   *[256]int32 // ids of <0x00>..<0xFF>, -1 where missing; nil without byte fallback
}

// newUnigram builds the model. unknown must be an index of pieces.
func newUnigram(pieces []piece, unknown int, byteFallback bool) *unigram {
	m := &unigram{scores: make([]float64, len(pieces)), unknown: int32(unknown)}

	// The trie finds every piece that begins at a position, in one walk along the text.
	entries := make([]entry, len(pieces))
	worst := math.Inf(1)
	for i, p := range pieces {
		entries[i] = entry{p.text, int32(i)}
		m.scores[i] = p.score
		worst = min(worst, p.score)
	}

	m.pieces = newTrie(entries)
	m.floor = worst - unknownPenalty

	if byteFallback {
		// Byte tokens are looked up once; the vocabulary need not have all 256.
		m.bytes = new([256]int32)
		for b := range m.bytes {
			m.bytes[b] = m.pieces.find(fmt.Sprintf("<0x%02X>", b))
		}
	}
	return m
}

// node is the best known way to reach one byte offset of a word. Offsets within a character are
// never reached.
type node struct {
	score float64 // sum of the pieces' log probabilities
	from  int32   // offset where the last piece starts, -1 where the offset is not reached
	id    int32   // last piece
}

// encode appends the ids of the most likely sequence of pieces of word, which is UTF-8. Unknown
// characters next to each other become one unknown piece.
func (m *unigram) encode(ids []int32, word string) []int32 {
	if word == "" {
		return ids
	}

	// The ends of the pieces, from the last to the first.
	best := m.search(word)

	// Back from the end, along the best way to each offset.
	var path []int // ends of the pieces, last first
	for end := len(word); end > 0; end = int(best[end].from) {
		path = append(path, end)
	}

	// Forwards along the path, with neighbouring unknowns as one.
	start := 0
	for i := len(path) - 1; i >= 0; i-- {
		for best[path[i]].id == m.unknown && i > 0 && best[path[i-1]].id == m.unknown {
			i-- // neighbouring unknowns are one
		}

		ids = m.emit(ids, word[start:path[i]], best[path[i]].id)
		start = path[i]
	}
	return ids
}

// search fills the lattice of word from left to right (Viterbi): the best way to every byte offset,
// [len(word)+1].
func (m *unigram) search(word string) []node {
	// Offset 0 is reached with score 0, by no piece.
	best := make([]node, len(word)+1)
	for i := range best {
		best[i].from = -1
	}

	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		single := false
		state := int32(0)

		// Every piece that begins here, along the trie.
		for end := at; end < len(word); {
			if state = m.pieces.child(state, word[end]); state < 0 {
				break
			}
			end++
			if id := m.pieces.value[state]; id >= 0 {
				best[end].improve(best[at].score+m.scores[id], at, id)
				single = single || end == at+size
			}
		}

		// Without a piece of just this character, it may be unknown.
		if !single {
			best[at+size].improve(best[at].score+m.floor, at, m.unknown)
		}
		at += size
	}
	return best
}

// improve takes the way by a piece that begins at from, if it is the first or a better one. Of
// equal ones the first stays, as in the reference.
func (n *node) improve(score float64, from int, id int32) {
	if n.from < 0 || score > n.score {
		*n = node{score: score, from: int32(from), id: id}
	}
}

// emit appends the ids of one piece. Unknown text becomes its bytes, where the model has tokens for
// all of them, else the unknown token. Neighbouring unknown characters come here as one text.
func (m *unigram) emit(ids []int32, text string, id int32) []int32 {
	if id != m.unknown {
		return append(ids, id)
	}

	// Fused unknowns may be a piece in the vocabulary after all.
	if known := m.pieces.find(text); known >= 0 {
		return append(ids, known)
	}

	if m.bytes == nil {
		return append(ids, m.unknown)
	}

	mark := len(ids)
	for i := 0; i < len(text); i++ {
		// One byte without a token spoils the whole text.
		b := m.bytes[text[i]]
		if b < 0 {
			return append(ids[:mark], m.unknown)
		}
		ids = append(ids, b)
	}
	return ids
}
