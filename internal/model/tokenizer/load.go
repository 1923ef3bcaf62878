package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of a tokenizer.json. UMT5-XXL's has 17 MB, 256,384 pieces and 303 added tokens.
const (
	fileBytesMax    = 64 << 20 // of the whole file
	piecesMax       = 1 << 20  // in the vocabulary
	pieceBytesMax   = 1 << 12  // of a piece, an added token or a replacement
	addedTokensMax  = 1 << 16  // entries of added_tokens
	charsmapMax     = 16 << 20 // bytes of the table, decoded
	stagesMax       = 16       // normalizers, and pre-tokenizers
	stageDepthMax   = 4        // of Sequences within Sequences
	patternBytesMax = 256      // of what Replace looks for, and puts in its place
	templateIDsMax  = 64       // special tokens around a prompt
	// textBytesMax bounds a text while it is normalized, as stages can make many characters of one.
	// A prompt has at most 32 kB.
	textBytesMax = 512 << 10
)

// file is the part of tokenizer.json that is read. The decoder is not needed, and padding and
// truncation are set per call.
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
	Type         string    `json:"type"`          // "Unigram"
	Unknown      *int      `json:"unk_id"`        // id of the unknown token
	Vocab        pieceList `json:"vocab"`         // a piece's index is its id
	ByteFallback bool      `json:"byte_fallback"` // unknown text becomes <0x00> to <0xFF>
}

// Load builds a Tokenizer from the bytes of a tokenizer.json, which it does not keep. Files above
// 64 MB, models other than Unigram, and stages that it does not know are errors that name the field
// and what is allowed.
func Load(data []byte) (*Tokenizer, error) {
	t, err := load(data)
	if err != nil {
		return nil, fmt.Errorf("cannot load tokenizer.json: %w", err)
	}
	return t, nil
}

// load builds the stages in the order in which later ones need earlier ones: added tokens are
// normalized and looked up in the model, and the template may use their ids.
func load(data []byte) (*Tokenizer, error) {
	f, err := parseFile(data)
	if err != nil {
		return nil, err
	}

	// Vocabulary, normalizer and splitters depend on nothing else.
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

	// Ids from the vocabulary's size on are those of added tokens.
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

// parseFile reads the JSON, and checks the sizes in it before anything is built from it.
func parseFile(data []byte) (*file, error) {
	if len(data) > fileBytesMax {
		return nil, fmt.Errorf("it has %d bytes; allowed: up to %d", len(data), fileBytesMax)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8")
	}

	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if f.Version != nil && *f.Version != "1.0" {
		return nil, fmt.Errorf("version is %q; allowed: \"1.0\"", *f.Version)
	}

	if len(f.AddedTokens) > addedTokensMax {
		return nil, fmt.Errorf("added_tokens has %d entries; allowed: up to %d",
			len(f.AddedTokens), addedTokensMax)
	}

	// The same bound as for pieces, as both are keys of a trie.
	for _, t := range f.AddedTokens {
		if len(t.Content) > pieceBytesMax {
			return nil, fmt.Errorf("added_tokens has one of %d bytes; allowed: up to %d",
				len(t.Content), pieceBytesMax)
		}
	}

	if f.Model == nil {
		return nil, errors.New("model is missing")
	}
	return &f, nil
}

// build checks the model's fields and builds the model.
func (m *modelFile) build() (*unigram, error) {
	if m.Type != "" && m.Type != "Unigram" {
		return nil, fmt.Errorf("model.type is %q; allowed: \"Unigram\"", m.Type)
	}
	if len(m.Vocab) == 0 {
		return nil, errors.New("model.vocab has no pieces; allowed: a list of [text, score]")
	}

	if m.Unknown == nil {
		return nil, errors.New("model.unk_id is missing")
	}

	// The unknown token is a piece of the vocabulary, too.
	if *m.Unknown < 0 || *m.Unknown >= len(m.Vocab) {
		return nil, fmt.Errorf("model.unk_id is %d; allowed: 0 to %d, a piece of model.vocab",
			*m.Unknown, len(m.Vocab)-1)
	}

	return newUnigram(m.Vocab, *m.Unknown, m.ByteFallback), nil
}

// isNull reports whether a stage is absent.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
