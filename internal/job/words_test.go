package job

import (
	"slices"
	"strings"
	"testing"
)

// TestWordsThatTheModelDoesNotKnow wants a notice of them, and none of the others.
func TestWordsThatTheModelDoesNotKnow(t *testing.T) {
	m := demo()
	m.Words, m.LowerCase = []string{"a", "red", "ball", "car", "at", "night", "über"}, true
	for _, c := range []struct {
		prompt, negative string
		want             []string
	}{
		{"", "", nil},
		{"A Red BALL, at night!", "a car", nil},
		{"a red&nbsp;ball &amp; a 'car'", "", nil},
		{"ÜBER a ball", "", nil},
		{"an Astronaut at night", "", []string{"an", "astronaut"}},
		{"a cat, a CAT", "a dog", []string{"cat", "dog"}},
		{"ein grüner Würfel", "", []string{"ein", "grüner", "würfel"}},
		{"東京の夜 🎈", "", []string{"東京の夜"}},
		{"a dog's ball", "", []string{"dog's"}},
	} {
		s, err := m.Resolve(Request{Prompt: c.prompt, NegativePrompt: c.negative}, nil)
		if err != nil {
			t.Fatal(err)
		}
		notices := s.Notices()
		if len(c.want) == 0 != (len(notices) == 0) {
			t.Errorf("%q: notices %q, want words %q", c.prompt, notices, c.want)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(notices[0], `"`+w+`"`) {
				t.Errorf("%q: notice %q lacks %q", c.prompt, notices[0], w)
			}
		}
		if err := m.CheckSpec(s); err != nil {
			t.Errorf("%q: %v", c.prompt, err)
		}
	}
}

func TestANoticeOfManyWordsIsShort(t *testing.T) {
	m := demo()
	m.Words = slices.Repeat([]string{strings.Repeat("w", WordLimit)}, 100)
	words := strings.Repeat("\u2028 x\x01y "+strings.Repeat("ﷺ", 500)+" ", 3)
	for i := range 40 {
		words += string(rune('a'+i%26)) + strings.Repeat("z", i) + " "
	}
	s, err := m.Resolve(Request{Prompt: words}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := s.Notices()
	if len(n) != 1 || len(n[0]) > NoteLimit || !strings.Contains(n[0], "more") {
		t.Errorf("%q", n)
	}
	if err := m.CheckSpec(s); err != nil {
		t.Error(err)
	}
	if m.Words = append(m.Words, ""); m.Check() == nil {
		t.Error("a model with an empty word is taken")
	}
}
