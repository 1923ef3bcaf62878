package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// stageFile has the fields of all normalizers and pre-tokenizers that are known. Which of them
// count depends on its type; those of other types are ignored, as the reference does.
type stageFile struct {
	Type          string            `json:"type"`
	Normalizers   []json.RawMessage `json:"normalizers"`
	PreTokenizers []json.RawMessage `json:"pretokenizers"`

	Charsmap string `json:"precompiled_charsmap"` // Precompiled

	StripLeft  bool `json:"strip_left"` // Strip
	StripRight bool `json:"strip_right"`

	Pattern struct { // Replace
		String *string
		Regex  *string
	} `json:"pattern"`
	Content string `json:"content"`

	Mark           string  `json:"replacement"` // Metaspace
	Scheme         *string `json:"prepend_scheme"`
	AddPrefixSpace *bool   `json:"add_prefix_space"`
	Split          *bool   `json:"split"`
}

// parseStage reads one stage at some depth of Sequences, and checks the number of its inner stages.
func parseStage(raw json.RawMessage, depth int) (*stageFile, error) {
	// One type has the fields of all, which saves a type and a second pass for each.
	var s stageFile
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if depth > stageDepthMax {
		return nil, fmt.Errorf("Sequence is nested deeper than the %d levels allowed", stageDepthMax)
	}
	if n := max(len(s.Normalizers), len(s.PreTokenizers)); n > stagesMax {
		return nil, fmt.Errorf("Sequence has %d stages; allowed: up to %d", n, stagesMax)
	}
	return &s, nil
}

// parseNormalizers reads a normalizer. Sequences within Sequences become one chain; null is an
// empty one.
func parseNormalizers(raw json.RawMessage, depth int) (chain, error) {
	if isNull(raw) {
		return nil, nil
	}

	// Any stage but a Sequence is a chain of one.
	s, err := parseStage(raw, depth)
	if err != nil {
		return nil, err
	}

	if s.Type != "Sequence" {
		n, err := s.normalizer()
		return chain{n}, err
	}

	var all chain
	for _, inner := range s.Normalizers {
		part, err := parseNormalizers(inner, depth+1)
		if err != nil {
			return nil, err
		}

		// Depth bounds the recursion, and stagesMax the whole.
		if all = append(all, part...); len(all) > stagesMax {
			return nil, fmt.Errorf("Sequence has more stages in all than the %d allowed", stagesMax)
		}
	}
	return all, nil
}

// normalizer builds a normalizer other than a Sequence.
func (s *stageFile) normalizer() (normalizer, error) {
	switch s.Type {
	case "Precompiled":
		if len(s.Charsmap) > base64.StdEncoding.EncodedLen(charsmapMax) {
			return nil, fmt.Errorf("Precompiled: precompiled_charsmap has more bytes than the %d allowed",
				charsmapMax)
		}

		// The table is base64 within the JSON.
		data, err := base64.StdEncoding.DecodeString(s.Charsmap)
		if err != nil {
			return nil, fmt.Errorf("Precompiled: precompiled_charsmap: %w", err)
		}
		return parseCharsmap(data)
	case "Strip":
		return strip{s.StripLeft, s.StripRight}, nil
	case "Replace":
		pattern, literal, err := s.pattern()
		return replace{pattern, literal, s.Content}, err
	}
	return nil, fmt.Errorf("type is %q; allowed: Precompiled, Strip, Replace, Sequence",
		s.Type)
}

// pattern compiles what Replace looks for; literal is the same where it is plain text. Of regular
// expressions, only literals, character classes, groups and greedy counts are accepted, as these
// mean the same in Go and in the reference.
func (s *stageFile) pattern() (_ *regexp.Regexp, literal string, err error) {
	var source string
	switch {
	case s.Pattern.String != nil && s.Pattern.Regex == nil:
		literal = *s.Pattern.String
		source = regexp.QuoteMeta(literal)
	case s.Pattern.Regex != nil && s.Pattern.String == nil:
		// The reference's engine is Oniguruma: whatever differs from Go's in syntax or meaning is
		// refused, white space classes and anchors among it.
		source = *s.Pattern.Regex
		if i := firstOf(source, `\`, `.`, `^`, `$`, `(?`, `?`, `[[`, `&&`, `}+`, `{,`); i >= 0 {
			return nil, "", fmt.Errorf("Replace: pattern is %.40q; allowed: one without %q",
				source, source[i:i+1])
		}
	default:
		return nil, "", errors.New("Replace: pattern needs one of String and Regex")
	}

	if len(source) > patternBytesMax || len(s.Content) > patternBytesMax {
		return nil, "", fmt.Errorf("Replace: pattern or content is too long; allowed: up to %d bytes",
			patternBytesMax)
	}

	pattern, err := regexp.Compile(source)
	if err != nil {
		return nil, "", fmt.Errorf("Replace: %w", err)
	}

	if pattern.MatchString("") {
		return nil, "", fmt.Errorf("Replace: pattern is %.40q; allowed: one that never matches "+
			"empty text", source)
	}
	return pattern, literal, nil
}

// firstOf returns the first index in text of any of parts, or -1.
func firstOf(text string, parts ...string) int {
	first := -1
	for _, p := range parts {
		if i := strings.Index(text, p); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

// parsePreTokenizers reads a pre-tokenizer. Sequences within Sequences become one list; null is an
// empty one. More than one Metaspace is an error, since the second would see the marks of the
// first.
func parsePreTokenizers(raw json.RawMessage, depth int) ([]preTokenizer, error) {
	if isNull(raw) {
		return nil, nil
	}

	s, err := parseStage(raw, depth)
	if err != nil {
		return nil, err
	}

	if s.Type != "Sequence" {
		p, err := s.preTokenizer()
		return []preTokenizer{p}, err
	}

	var all []preTokenizer
	for _, inner := range s.PreTokenizers {
		part, err := parsePreTokenizers(inner, depth+1)
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); len(all) > stagesMax {
			return nil, fmt.Errorf("Sequence has more stages in all than the %d allowed", stagesMax)
		}
	}

	if n := countMetaspaces(all); n > 1 {
		return nil, fmt.Errorf("Sequence has %d Metaspace stages; allowed: one", n)
	}
	return all, nil
}

// countMetaspaces returns how many of the steps are Metaspaces.
func countMetaspaces(steps []preTokenizer) (n int) {
	for _, step := range steps {
		if _, ok := step.(metaspace); ok {
			n++
		}
	}
	return n
}

// preTokenizer builds a pre-tokenizer other than a Sequence.
func (s *stageFile) preTokenizer() (preTokenizer, error) {
	switch s.Type {
	case "WhitespaceSplit":
		return whitespaceSplit{}, nil
	case "Metaspace":
		return s.metaspace()
	}
	return nil, fmt.Errorf("type is %q; allowed: WhitespaceSplit, Metaspace, Sequence",
		s.Type)
}

// metaspace builds a Metaspace. Older files have add_prefix_space in place of prepend_scheme.
func (s *stageFile) metaspace() (preTokenizer, error) {
	m := metaspace{mark: s.Mark, scheme: "always", cut: s.Split == nil || *s.Split}
	if s.AddPrefixSpace != nil && !*s.AddPrefixSpace {
		m.scheme = "never"
	}

	if utf8.RuneCountInString(m.mark) != 1 {
		return nil, fmt.Errorf("Metaspace: replacement is %.40q; allowed: one character", m.mark)
	}

	if s.Scheme == nil {
		return m, nil
	}

	switch *s.Scheme {
	case "always", "first", "never":
	default:
		return nil, fmt.Errorf("Metaspace: prepend_scheme is %.40q; allowed: always, first, never",
			*s.Scheme)
	}

	if m.scheme == "never" && *s.Scheme != "never" {
		return nil, fmt.Errorf("Metaspace: prepend_scheme is %q; allowed: never, as "+
			"add_prefix_space is false", *s.Scheme)
	}
	m.scheme = *s.Scheme
	return m, nil
}
