package tokenizer

// Tokenizer is a loaded tokenizer.json. It does not change after Load, so any number of goroutines
// may use it at once.
type Tokenizer struct {
	added      *addedTokens
	normalizer chain
	splitters  []preTokenizer
	model      *unigram
	template   template
	size       int
}

// VocabSize is the number of ids: every id that Encode gives is below it. It counts the pieces of
// the model and the added tokens that the model does not have.
func (t *Tokenizer) VocabSize() int { return t.size }

// Encode gives the token ids of text as Hugging Face's fast tokenizer does with
// add_special_tokens, truncation and max_length=tokensMax: at most tokensMax ids, the special ones
// of the template (a last </s>) included. truncated tells that text had more than fit. Bytes that
// are not UTF-8 count as U+FFFD each. Encode cleans nothing; see Clean.
func (t *Tokenizer) Encode(text string, tokensMax int) (ids []int32, truncated bool) {
	text = string([]rune(text))
	var content []int32
	cut := false
	for _, raw := range t.added.raw.split(newSpan(text)) {
		if raw.id >= 0 {
			content = append(content, raw.id)
			continue
		}
		s := t.normalizer.normalize(raw.span)
		for _, part := range t.added.normal.split(s) {
			content = t.encodePart(content, part, tokensMax)
		}
		if cut = s.cut; cut || len(content) > tokensMax {
			break
		}
	}
	ids, truncated = t.template.wrap(content, tokensMax)
	return ids, truncated || cut
}

// encodePart appends the ids of one chunk of normalized text, and stops beyond tokensMax ids.
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
