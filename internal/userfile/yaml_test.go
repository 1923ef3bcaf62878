package userfile

import (
	"strings"
	"testing"
)

// part and whole are a file with one of each kind.
type part struct {
	Size  string    `yaml:"size"`
	Share float64   `yaml:"share"`
	Days  []float64 `yaml:"days"`
}

type whole struct {
	Name  string            `yaml:"name"`
	Seed  uint64            `yaml:"seed"`
	Count *int              `yaml:"count"`
	On    bool              `yaml:"on"`
	Parts []part            `yaml:"parts"`
	Words map[string]string `yaml:"words"`
}

// TestYAMLMistakes: an error is one line, which names the key, the value and what is allowed, and
// no type of Go.
func TestYAMLMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"seed: x":                         `line 1: seed is "x"; allowed: a whole number from 0`,
		"name: a\nseed: -1":               `line 2: seed is "-1"; allowed: a whole number from 0`,
		"seed: 1\ncount: many words":      `line 2: count is "many words"; allowed: a whole number`,
		"on: perhaps":                     `line 1: on is "perhaps"; allowed: true or false`,
		"name: [a]":                       `line 1: name is a list; allowed: a text`,
		"name: {a: b}":                    `line 1: name is keys with values; allowed: a text`,
		"parts: 5":                        `line 1: parts is "5"; allowed: a list`,
		"words: 5":                        `line 1: words is "5"; allowed: keys with values`,
		"parts:\n  - {size: a, share: b}": `line 2: parts[0].share is "b"; allowed: a number`,
		"parts: [{days: [1, x]}]":         `line 1: parts[0].days[1] is "x"; allowed: a number`,
		"parts: [{size: a}, 7]":           `line 1: parts[1] is "7"; allowed: keys with`,
		"hello":                           `line 1: it is "hello"; allowed: keys with`,
		"[1]":                             "line 1: it is a list; allowed: keys with values, of n",
		"nam: x":                          `line 1: unknown key "nam"; allowed: name, seed, count`,
		"":                                "it is empty; allowed: name, seed, count",
		"name: x\nname: y":                "already defined",
	} {
		err := YAML([]byte(text), 1000, new(whole))
		if err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%q gives %v; want %q", text, err, want)
		}
	}
	if err := YAML([]byte("name: x\nseed: 5\n"), 10, new(whole)); err == nil {
		t.Error("a file that is too long is read")
	}
}
