package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is matched literally in the text, before the model sees it, such as
// </s> or <extra_id_0>.
type addedToken struct {
	Content    string `json:"content"`     // the text to match
	SingleWord bool   `json:"single_word"` // matched only between non-word characters
	LeftStrip  bool   `json:"lstrip"`      // takes the white space on its left along
	RightStrip bool   `json:"rstrip"`      // takes the white space on its right along
	Normalized bool   `json:"normalized"`  // matched after the normalizer, in normal form
}

// matcher finds added tokens of one kind in text.
type matcher struct {
	keys   *trie                // values are ids; nil where there are no tokens
	tokens map[int32]addedToken // by id
}

// chunk is a part of the text: an added token, or a span that contains none, where id is negative.
type chunk struct {
	span
	id int32
}

// addedTokens holds the tokens matched in the raw text, and those matched in normalized text.
type addedTokens struct {
	raw, normal matcher // for text before and after the normalizer
	next        int32   // one more than the highest id of any token or piece
}

// newAddedTokens gives ids to tokens: those of the model where it has the same text as a piece,
// else new ones from size on. Of two tokens with the same text the last one's properties count. Two
// tokens with the same normal form are an error, since the text could not tell them apart.
func newAddedTokens(tokens []addedToken, m *unigram, n normalizer, size int) (*addedTokens, error) {
	a := &addedTokens{next: int32(size)}
	ids := map[string]int32{}
	byID := map[int32]addedToken{}

	var order []int32
	for _, t := range tokens {
		// The reference ignores empty tokens, too.
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

// index builds the two matchers, and normalizes the tokens that are matched in normalized text.
func (a *addedTokens) index(order []int32, byID map[int32]addedToken, n normalizer) error {
	var raw, normal []entry
	seen := map[string]string{}
	for _, id := range order {
		t := byID[id]

		// Special tokens such as </s> are usually matched as they are.
		if !t.Normalized {
			raw = append(raw, entry{t.Content, id})
			continue
		}

		// Matched in normal form, so the key is the token's normal form.
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

// newMatcher returns a matcher of entries, whose values are ids in tokens.
func newMatcher(entries []entry, tokens map[int32]addedToken) matcher {
	if len(entries) == 0 {
		return matcher{}
	}
	return matcher{keys: newTrie(entries), tokens: tokens}
}

// split cuts s at its added tokens: leftmost first, the longest of those that start together
// (AddedVocabulary::find_matches of Hugging Face's tokenizers). Joined in order, the chunks are s,
// apart from the white space that tokens take along.
func (m matcher) split(s span) []chunk {
	if m.keys == nil {
		return []chunk{{s, -1}}
	}

	var chunks []chunk
	done := 0
	for at := 0; at < len(s.text); {
		id, size := m.keys.longest(s.text[at:])

		// No token begins here: on to the next byte. Tokens are valid UTF-8, so none begins within a
		// character.
		if size == 0 {
			at++
			continue
		}

		// A token that may not stand here leaves its text to the model.
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

// extent widens the match lo..hi of a token by the white space that it takes along, but not to
// before done. It is not ok where the token has to stand alone and does not.
func (m matcher) extent(id int32, text string, lo, hi, done int) (int, int, bool) {
	t := m.tokens[id]

	// White space on either side may go with the token.
	before, after := text[:lo], text[hi:]

	if t.SingleWord {
		// Empty text on either side is a boundary, too.
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

// isWord reports whether char is one of \w as UTS 18 of Unicode defines it.
func isWord(char rune) bool {
	return unicode.In(char, unicode.L, unicode.M, unicode.Nd, unicode.Nl,
		unicode.Other_Alphabetic, unicode.Pc, unicode.Join_Control)
}
