package tokenizer

// Tokenizer is a loaded tokenizer.json. It does not change after Load, so any number of goroutines
// may use it at once.
type Tokenizer struct {
	added      *addedTokens   // literal tokens, cut out before and after the normalizer
	normalizer chain          // on what the raw tokens leave
	splitters  []preTokenizer // run in order
	model      *unigram       // words to ids
	template   template       // around the ids
	size       int            // see VocabSize
}

// VocabSize returns the number of ids: every id that Encode gives is below it. It counts the pieces
// of the model and the added tokens that the model does not have.
func (t *Tokenizer) VocabSize() int { return t.size }

// Encode returns the token ids of text as Hugging Face's fast tokenizer does with
// add_special_tokens, truncation and max_length=tokensMax: at most tokensMax ids, the special ones
// of the template (a last </s>) included. truncated says whether text had more than fit. Bytes that
// are not UTF-8 count as U+FFFD each. Encode cleans nothing; see Clean.
func (t *Tokenizer) Encode(text string, tokensMax int) (ids []int32, truncated bool) {
	// Invalid bytes become U+FFFD.
	text = string([]rune(text))
	var content []int32

	cut := false
	for _, raw := range t.added.raw.split(newSpan(text)) {
		if raw.id >= 0 {
			content = append(content, raw.id)
			continue
		}

		s := t.normalizer.normalize(raw.span)

		// Tokens that are matched in normal form are cut out now.
		for _, part := range t.added.normal.split(s) {
			content = t.encodePart(content, part, tokensMax)
		}

		// No more is needed than what shows that there is too much.
		if cut = s.cut; cut || len(content) > tokensMax {
			break
		}
	}

	ids, truncated = t.template.wrap(content, tokensMax)
	return ids, truncated || cut
}

// encodePart appends the ids of one chunk of normalized text. It stops soon after tokensMax ids.
func (t *Tokenizer) encodePart(ids []int32, part chunk, tokensMax int) []int32 {
	if part.id >= 0 {
		return append(ids, part.id)
	}
	for _, word := range splitAll(t.splitters, part.span) {
		if len(ids) > tokensMax {
			break
		}
		ids = t.model.encode(ids, word.text)
	}
	return ids
}
