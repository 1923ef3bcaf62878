package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestStoryboardsResolve(t *testing.T) {
	a, b := Scene{0, "a"}, Scene{1.5, "b"}
	cases := []struct {
		name   string
		prompt string
		given  []Scene
		want   []Scene
		first  string
	}{
		{"none", "p", nil, nil, "p"},
		{"two scenes", "", []Scene{a, b}, []Scene{a, b}, "a"},
		{"the same prompt twice", "a", []Scene{a, b}, []Scene{a, b}, "a"},
		{"a prompt before", "p", []Scene{b}, []Scene{{0, "p"}, b}, "p"},
		{"one scene", "", []Scene{a}, nil, "a"},
		{"an empty first scene", "", []Scene{{0, ""}, b}, []Scene{{0, ""}, b}, ""},
	}
	for _, c := range cases {
		s, err := demo().Resolve(Request{Prompt: c.prompt, Scenes: c.given}, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := s
		want.Prompt, want.Scenes = c.first, c.want
		if !s.Equal(want) {
			t.Errorf("%s: %+v", c.name, s)
		}
		again, err := demo().Resolve(Request{Prompt: s.Prompt, Scenes: s.Scenes}, nil)
		if err != nil || !again.Equal(s) {
			t.Errorf("%s, again: %+v, %v", c.name, again, err)
		}
	}
}

func TestStoryboardsAreRefused(t *testing.T) {
	many := make([]Scene, ScenesLimit+1)
	for i := range many {
		many[i].Start = float64(i) / 64
	}
	long := strings.Repeat("x", PromptLimit)
	cases := []struct {
		prompt string
		scenes []Scene
		says   string
	}{
		{"", []Scene{{1, "b"}}, "without a scene before 1 s; allowed: a scene at 0 s"},
		{"p", []Scene{{0, "a"}}, "one of them"},
		{"", []Scene{{-1, "a"}}, "a scene at -1 s; allowed: from 0"},
		{"", []Scene{{math.NaN(), "a"}}, "a scene at NaN s"},
		{"", []Scene{{0, "a"}, {1, "b"}, {1, "c"}}, "a scene at 1 s after one at 1 s"},
		{"", []Scene{{0, "a"}, {3, "b"}}, "below the clip's end, 2.0625 s"},
		{"", many, "65 scenes; allowed: up to 64"},
		{"", []Scene{{0, "a"}, {1, long + "x"}}, "up to 32768 bytes"},
		{"", []Scene{{0, long}, {1, long}, {1.5, "x"}}, "up to 65536 bytes"},
		{"", []Scene{{0, "a"}, {1, "\xff"}}, "not UTF-8"},
	}
	for _, c := range cases {
		_, err := demo().Resolve(Request{Prompt: c.prompt, Scenes: c.scenes}, nil)
		var f *FieldError
		if !errors.As(err, &f) || f.Field != "storyboard" || !strings.Contains(err.Error(), c.says) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%v; want %q", err, c.says)
		}
	}
}

// TestEqualSurvivesJSON holds Equal to what a coordinator reads back.
func TestEqualSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Request{}
		for i := range rapid.IntRange(0, 4).Draw(t, "scenes") {
			r.Scenes = append(r.Scenes, Scene{float64(i) / 3, fmt.Sprint("p", i)})
		}
		s, err := demo().Resolve(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again Spec
		if err := json.Unmarshal(b, &again); err != nil || !again.Equal(s) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
		if len(s.Scenes) > 0 {
			again.Scenes[1].Prompt += "x"
			if again.Equal(s) {
				t.Fatal("another prompt is equal")
			}
		}
	})
}
