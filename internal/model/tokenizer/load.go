package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of a tokenizer.json; UMT5-XXL's has 17 MB, 256,384 pieces and 303 added tokens.
const (
	fileBytesMax    = 64 << 20
	piecesMax       = 1 << 20
	pieceBytesMax   = 1 << 12
	addedTokensMax  = 1 << 16
	charsmapMax     = 16 << 20
	stagesMax       = 16
	stageDepthMax   = 4
	patternBytesMax = 256
	templateIDsMax  = 64
	// textBytesMax bounds a text while it is normalized: stages can make many characters of one. A
	// prompt has at most 32 kB.
	textBytesMax = 512 << 10
)

// file is the part of tokenizer.json that is read; the decoder, padding and truncation are not.
type file struct {
	Version       *string         `json:"version"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Model         *modelFile      `json:"model"`
}

// modelFile is the "model" object of a Unigram tokenizer.
type modelFile struct {
	Type         string    `json:"type"`
	Unknown      *int      `json:"unk_id"`
	Vocab        pieceList `json:"vocab"`
	ByteFallback bool      `json:"byte_fallback"`
}

// Load builds a Tokenizer from the bytes of a tokenizer.json. It refuses files above 64 MB, models
// other than Unigram, and stages that it does not know; the error names the field.
func Load(data []byte) (*Tokenizer, error) {
	t, err := load(data)
	if err != nil {
		return nil, fmt.Errorf("cannot load tokenizer.json: %w", err)
	}
	return t, nil
}

func load(data []byte) (*Tokenizer, error) {
	f, err := parseFile(data)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{}
	if t.model, err = f.Model.build(); err != nil {
		return nil, err
	}
	if t.normalizer, err = parseNormalizers(f.Normalizer, 0); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	if t.splitters, err = parsePreTokenizers(f.PreTokenizer, 0); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	pieces := len(f.Model.Vocab)
	if t.added, err = newAddedTokens(f.AddedTokens, t.model, t.normalizer, pieces); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	t.size = int(t.added.next)
	if t.template, err = parseTemplate(f.PostProcessor, t.size); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	return t, nil
}

// parseFile reads the JSON and checks the sizes in it.
func parseFile(data []byte) (*file, error) {
	if len(data) > fileBytesMax {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(data), fileBytesMax)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if f.Version != nil && *f.Version != "1.0" {
		return nil, fmt.Errorf("version %q, only \"1.0\" is known", *f.Version)
	}
	if len(f.AddedTokens) > addedTokensMax {
		return nil, fmt.Errorf("%d added_tokens, at most %d are allowed",
			len(f.AddedTokens), addedTokensMax)
	}
	for _, t := range f.AddedTokens {
		if len(t.Content) > pieceBytesMax {
			return nil, fmt.Errorf("added_tokens: one of %d bytes, at most %d are allowed",
				len(t.Content), pieceBytesMax)
		}
	}
	if f.Model == nil {
		return nil, errors.New("model is missing")
	}
	return &f, nil
}

// build checks the model and makes it.
func (m *modelFile) build() (*unigram, error) {
	if m.Type != "" && m.Type != "Unigram" {
		return nil, fmt.Errorf("model.type %q, only \"Unigram\" is known", m.Type)
	}
	if len(m.Vocab) == 0 {
		return nil, errors.New("model.vocab has no pieces, want a list of [text, score]")
	}
	if m.Unknown == nil {
		return nil, errors.New("model.unk_id is missing")
	}
	if *m.Unknown < 0 || *m.Unknown >= len(m.Vocab) {
		return nil, fmt.Errorf("model.unk_id %d is not one of the %d pieces of model.vocab",
			*m.Unknown, len(m.Vocab))
	}
	return newUnigram(m.Vocab, *m.Unknown, m.ByteFallback), nil
}

// isNull tells whether a stage is absent.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
