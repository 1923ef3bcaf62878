package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

func TestParseStoryboard(t *testing.T) {
	want := []job.Scene{{Start: 0, Prompt: "a red ball"}, {Start: 2.5, Prompt: "a: blue ball"}}
	for name, text := range map[string]string{
		"a map":         "0: a red ball\n2.5: 'a: blue ball'\n",
		"a list":        "- start: 0\n  prompt: a red ball\n- {prompt: 'a: blue ball', start: 2.5}\n",
		"pairs":         "# two\n- 0: a red ball\n- 2.5: 'a: blue ball'\n",
		"a long text":   "0: >-\n  a red\n  ball\n2.5: |-\n  a: blue ball\n",
		"JSON":          `[{"start": 0, "prompt": "a red ball"}, {"start": 2.5, "prompt": "a: blue ball"}]`,
		"quoted times":  "\"0\": a red ball\n\"2.5\": \"a: blue ball\"\n",
		"exponent time": "0: a red ball\n25e-1: 'a: blue ball'\n",
	} {
		if got, err := parseStoryboard([]byte(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestStoryboardAliases: a scene may stand for one above it.
func TestStoryboardAliases(t *testing.T) {
	want := []job.Scene{{Start: 0, Prompt: "a ball"}, {Start: 1, Prompt: "b"}, {Start: 2, Prompt: "a ball"}}
	for _, text := range []string{"0: &first a ball\n1: b\n2: *first\n",
		"- {start: 0, prompt: &p a ball}\n- {start: 1, prompt: b}\n- {start: 2, prompt: *p}\n"} {
		if got, err := parseStoryboard([]byte(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestStoryboardMistakesAreOneLine(t *testing.T) {
	for text, says := range map[string]string{
		"":                                    "no scenes",
		"# nothing":                           "no scenes",
		"[]":                                  "no scenes",
		"a ball":                              "no scenes",
		"0: a\n-1: b":                         `line 2: time "-1"`,
		"1: a\n0: b":                          "line 2: 0 s after 1 s; allowed: ascending",
		"0: a\n0: b":                          "ascending",
		"zero: a":                             `line 1: time "zero"`,
		".inf: a":                             "time",
		"0: [a]":                              "line 1: no prompt",
		"0:\n1: b":                            "line 1: no prompt",
		"- start: 0\n  text: a":               `line 2: key "text"; allowed: start and prompt`,
		"- start: 0\n  prompt: a\n  start: 1": `line 3: key "start"`,
		"- start: 0":                          "lacks a key",
		"- a":                                 "line 1: no scene",
		"0: \"a":                              "cannot read it",
		"0: *x":                               "cannot read it",
		strings.Repeat("#", storyboardMax+1):  "allowed: up to 1048576",
	} {
		_, err := parseStoryboard([]byte(text))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v; want %q", text, err, says)
		}
	}
}

// FuzzStoryboard holds that what is read are scenes from 0 on, or an error of one line.
func FuzzStoryboard(f *testing.F) {
	f.Add("0: a\n1.5: b\n")
	f.Add("- start: 0\n  prompt: a\n- 2: b\n")
	f.Add("&a 0: &b x\n1: *b\n")
	f.Fuzz(func(t *testing.T, text string) {
		scenes, err := parseStoryboard([]byte(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q", err)
			}
			return
		}
		for _, s := range scenes {
			if !(s.Start >= 0) {
				t.Fatalf("%+v", s)
			}
		}
	})
}
