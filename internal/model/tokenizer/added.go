package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token matched literally in the text, before the model sees it.
type addedToken struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only between characters that are no word characters
	LeftStrip  bool   `json:"lstrip"`      // takes the white space on its left along
	RightStrip bool   `json:"rstrip"`      // takes the white space on its right along
	Normalized bool   `json:"normalized"`  // is matched after the normalizer, in normal form
}

// matcher finds added tokens of one kind.
type matcher struct {
	keys   *trie // values are ids; nil where there is no token
	tokens map[int32]addedToken
}

// chunk is a part of the text: an added token, or, where id is negative, a span.
type chunk struct {
	span
	id int32
}

// addedTokens holds the tokens matched in the raw text and those matched in normalized text.
type addedTokens struct {
	raw, normal matcher
	next        int32 // one more than the highest id
}

// newAddedTokens gives ids to tokens: those of the model where it knows them, else new ones from
// size on. Two tokens with the same normal form are an error.
func newAddedTokens(tokens []addedToken, m *unigram, n normalizer, size int) (*addedTokens, error) {
	a := &addedTokens{next: int32(size)}
	ids := map[string]int32{}
	byID := map[int32]addedToken{}
	var order []int32
	for _, t := range tokens {
		if t.Content == "" {
			continue
		}
		id, seen := ids[t.Content]
		if !seen {
			if id = m.pieces.find(t.Content); id < 0 {
				id = a.next
				a.next++
			}
			ids[t.Content] = id
			order = append(order, id)
		}
		byID[id] = t
	}
	return a, a.index(order, byID, n)
}

// index builds the two matchers.
func (a *addedTokens) index(order []int32, byID map[int32]addedToken, n normalizer) error {
	var raw, normal []entry
	seen := map[string]string{}
	for _, id := range order {
		t := byID[id]
		if !t.Normalized {
			raw = append(raw, entry{t.Content, id})
			continue
		}
		key := n.normalize(span{text: t.Content}).text
		if len(key) > pieceBytesMax {
			return fmt.Errorf("cannot use added token %.40q: it normalizes to more than %d bytes", t.Content,
				pieceBytesMax)
		}
		if key == "" {
			return fmt.Errorf("cannot use added token %q: it normalizes to nothing", t.Content)
		}
		if other, ok := seen[key]; ok {
			return fmt.Errorf("cannot use added tokens %q and %q: both normalize to %q",
				other, t.Content, key)
		}
		seen[key] = t.Content
		normal = append(normal, entry{key, id})
	}
	a.raw, a.normal = newMatcher(raw, byID), newMatcher(normal, byID)
	return nil
}

func newMatcher(entries []entry, tokens map[int32]addedToken) matcher {
	if len(entries) == 0 {
		return matcher{}
	}
	return matcher{keys: newTrie(entries), tokens: tokens}
}

// split cuts s at its added tokens: leftmost first, the longest of those that start together.
// Source of the rules: AddedVocabulary::find_matches of Hugging Face's tokenizers.
func (m matcher) split(s span) []chunk {
	if m.keys == nil {
		return []chunk{{s, -1}}
	}
	var chunks []chunk
	done := 0
	for at := 0; at < len(s.text); {
		id, size := m.keys.longest(s.text[at:])
		if size == 0 {
			at++
			continue
		}
		lo, hi, ok := m.extent(id, s.text, at, at+size, done)
		at += size
		if !ok {
			continue
		}
		if done < lo {
			chunks = append(chunks, chunk{s.slice(done, lo), -1})
		}
		chunks = append(chunks, chunk{id: id})
		done = hi
	}
	if done < len(s.text) {
		chunks = append(chunks, chunk{s.slice(done, len(s.text)), -1})
	}
	return chunks
}

// extent widens the match lo..hi of a token by the white space it takes along; not ok where the
// token wants to stand alone and does not.
func (m matcher) extent(id int32, text string, lo, hi, done int) (int, int, bool) {
	t := m.tokens[id]
	before, after := text[:lo], text[hi:]
	if t.SingleWord {
		last, _ := utf8.DecodeLastRuneInString(before)
		first, _ := utf8.DecodeRuneInString(after)
		if before != "" && isWord(last) || after != "" && isWord(first) {
			return 0, 0, false
		}
	}
	if t.LeftStrip {
		lo = max(len(strings.TrimRightFunc(before, unicode.IsSpace)), done)
	}
	if t.RightStrip {
		hi += len(after) - len(strings.TrimLeftFunc(after, unicode.IsSpace))
	}
	return lo, hi, true
}

// isWord tells whether char is one of \w as Unicode's UTS 18 defines it.
func isWord(char rune) bool {
	return unicode.In(char, unicode.L, unicode.M, unicode.Nd, unicode.Nl,
		unicode.Other_Alphabetic, unicode.Pc, unicode.Join_Control)
}
