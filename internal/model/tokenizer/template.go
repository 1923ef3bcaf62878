package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// template is what surrounds the ids of a prompt, in order: for T5 nothing before them and a single
// </s> after them, which tells the encoder that the prompt is complete.
type template struct{ before, after []int32 }

// wrap puts the template around ids, which are cut so that at most tokensMax come out; truncated
// says whether any were. Where not even the template fits, its end is kept.
func (t template) wrap(ids []int32, tokensMax int) (all []int32, truncated bool) {
	room := max(tokensMax-len(t.before)-len(t.after), 0)
	if len(ids) > room {
		ids, truncated = ids[:room], true
	}
	all = make([]int32, 0, len(t.before)+len(ids)+len(t.after))
	all = append(append(append(all, t.before...), ids...), t.after...)
	if over := len(all) - max(tokensMax, 0); over > 0 {
		all, truncated = all[over:], true
	}
	return all, truncated
}

// templateFile is a post_processor object of the type TemplateProcessing. Single surrounds one
// text, with special tokens by the names in SpecialTokens; what surrounds a pair of texts is not
// read.
type templateFile struct {
	Type          string                  `json:"type"`
	Single        []templatePiece         `json:"single"` // around one text; pairs are not used
	SpecialTokens map[string]specialToken `json:"special_tokens"`
}

// specialToken is what a name in a template stands for: one id as a rule, but the format allows
// several.
type specialToken struct {
	IDs []int32 `json:"ids"`
}

// templatePiece is either the prompt (sequence A) or a special token.
type templatePiece struct {
	Sequence     *struct{ ID string } // "A" is the prompt; "B", of pairs, is refused
	SpecialToken *struct{ ID string } // a name in special_tokens
}

// parseTemplate reads the post-processor; null is an empty template. Ids must be below size.
func parseTemplate(raw json.RawMessage, size int) (template, error) {
	var t template
	if isNull(raw) {
		return t, nil
	}

	var f templateFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return t, err
	}
	if f.Type != "TemplateProcessing" {
		return t, fmt.Errorf("type is %q; allowed: TemplateProcessing", f.Type)
	}

	seen := false
	for _, p := range f.Single {
		switch {
		case p.SpecialToken != nil:
			// A special token before the prompt or after it.
			ids, err := f.ids(p.SpecialToken.ID, size)
			if err != nil {
				return t, err
			}

			if seen {
				t.after = append(t.after, ids...)
			} else {
				t.before = append(t.before, ids...)
			}

		// The prompt itself, once.
		case p.Sequence != nil && p.Sequence.ID == "A" && !seen:
			seen = true
		default:
			return t, errors.New("single has something else; allowed: special tokens, and sequence A once")
		}
	}

	if !seen || len(t.before)+len(t.after) > templateIDsMax {
		return t, fmt.Errorf("single lacks sequence A or is too long; allowed: sequence A and "+
			"up to %d ids", templateIDsMax)
	}
	return t, nil
}

// ids returns the ids of a special token, which must be below size.
func (f *templateFile) ids(name string, size int) ([]int32, error) {
	// Ids come from the file, and may be anything.
	token, ok := f.SpecialTokens[name]
	if !ok {
		return nil, fmt.Errorf("special_tokens lacks %.40q", name)
	}
	for _, id := range token.IDs {
		if id < 0 || int(id) >= size {
			return nil, fmt.Errorf("special_tokens: %.40q has the id %d; allowed: 0 to %d", name, id, size-1)
		}
	}
	return token.IDs, nil
}
