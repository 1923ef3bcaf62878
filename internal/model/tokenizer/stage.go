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

// stageFile has the fields of every normalizer and pre-tokenizer that is known.
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

// parseStage reads one stage and, for a Sequence, hands each of its parts to inner.
func parseStage(raw json.RawMessage, depth int) (*stageFile, error) {
	var s stageFile
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if depth > stageDepthMax {
		return nil, fmt.Errorf("Sequence: deeper than %d", stageDepthMax)
	}
	if n := max(len(s.Normalizers), len(s.PreTokenizers)); n > stagesMax {
		return nil, fmt.Errorf("Sequence: %d stages, at most %d are allowed", n, stagesMax)
	}
	return &s, nil
}

// parseNormalizers reads a normalizer; Sequences come out flat, null as an empty chain.
func parseNormalizers(raw json.RawMessage, depth int) (chain, error) {
	if isNull(raw) {
		return nil, nil
	}
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
		if all = append(all, part...); len(all) > stagesMax {
			return nil, fmt.Errorf("Sequence: more than %d stages in all", stagesMax)
		}
	}
	return all, nil
}

// normalizer builds a normalizer that is no Sequence.
func (s *stageFile) normalizer() (normalizer, error) {
	switch s.Type {
	case "Precompiled":
		if len(s.Charsmap) > base64.StdEncoding.EncodedLen(charsmapMax) {
			return nil, fmt.Errorf("Precompiled: a charsmap above %d bytes", charsmapMax)
		}
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
	return nil, fmt.Errorf("type %q, only Precompiled, Strip, Replace and Sequence are known",
		s.Type)
}

// pattern compiles what Replace looks for, and returns it as it is where it is plain text. Of
// regular expressions only literals, character classes, groups and greedy counts are taken: these
// mean the same here and in the reference.
func (s *stageFile) pattern() (_ *regexp.Regexp, literal string, err error) {
	var source string
	switch {
	case s.Pattern.String != nil && s.Pattern.Regex == nil:
		literal = *s.Pattern.String
		source = regexp.QuoteMeta(literal)
	case s.Pattern.Regex != nil && s.Pattern.String == nil:
		source = *s.Pattern.Regex
		if i := firstOf(source, `\`, `.`, `^`, `$`, `(?`, `?`, `[[`, `&&`, `}+`, `{,`); i >= 0 {
			return nil, "", fmt.Errorf("Replace: pattern %.40q: cannot use %q", source, source[i:i+1])
		}
	default:
		return nil, "", errors.New("Replace: pattern wants one of String and Regex")
	}
	if len(source) > patternBytesMax || len(s.Content) > patternBytesMax {
		return nil, "", fmt.Errorf("Replace: pattern and content: at most %d bytes", patternBytesMax)
	}
	pattern, err := regexp.Compile(source)
	if err != nil {
		return nil, "", fmt.Errorf("Replace: %w", err)
	}
	if pattern.MatchString("") {
		return nil, "", fmt.Errorf("Replace: pattern %.40q matches nothing at all", source)
	}
	return pattern, literal, nil
}

// firstOf is the first place in text of any of parts, or -1.
func firstOf(text string, parts ...string) int {
	first := -1
	for _, p := range parts {
		if i := strings.Index(text, p); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

// parsePreTokenizers reads a pre-tokenizer; Sequences come out flat, null as none. One Metaspace
// is allowed.
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
			return nil, fmt.Errorf("Sequence: more than %d stages in all", stagesMax)
		}
	}
	if n := countMetaspaces(all); n > 1 {
		return nil, fmt.Errorf("Sequence: %d Metaspace stages, one is allowed", n)
	}
	return all, nil
}

func countMetaspaces(steps []preTokenizer) (n int) {
	for _, step := range steps {
		if _, ok := step.(metaspace); ok {
			n++
		}
	}
	return n
}

// preTokenizer builds a pre-tokenizer that is no Sequence.
func (s *stageFile) preTokenizer() (preTokenizer, error) {
	switch s.Type {
	case "WhitespaceSplit":
		return whitespaceSplit{}, nil
	case "Metaspace":
		return s.metaspace()
	}
	return nil, fmt.Errorf("type %q, only WhitespaceSplit, Metaspace and Sequence are known",
		s.Type)
}

// metaspace builds a Metaspace. Old files say add_prefix_space in place of prepend_scheme.
func (s *stageFile) metaspace() (preTokenizer, error) {
	m := metaspace{mark: s.Mark, scheme: "always", cut: s.Split == nil || *s.Split}
	if s.AddPrefixSpace != nil && !*s.AddPrefixSpace {
		m.scheme = "never"
	}
	if utf8.RuneCountInString(m.mark) != 1 {
		return nil, fmt.Errorf("Metaspace: replacement %.40q, want one character", m.mark)
	}
	if s.Scheme == nil {
		return m, nil
	}
	switch *s.Scheme {
	case "always", "first", "never":
	default:
		return nil, fmt.Errorf("Metaspace: prepend_scheme %.40q, want always, first or never",
			*s.Scheme)
	}
	if m.scheme == "never" && *s.Scheme != "never" {
		return nil, fmt.Errorf("Metaspace: add_prefix_space false and prepend_scheme %q differ",
			*s.Scheme)
	}
	m.scheme = *s.Scheme
	return m, nil
}
