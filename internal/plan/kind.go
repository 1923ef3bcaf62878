package plan

import (
	"encoding/json"
	"fmt"

	"github.com/longtake/longtake/internal/job"
)

// Kind names what a clip takes: specs of one kind take the same time and memory of the same shards,
// whatever is said in them and which seed they have. Of a prompt only its length in tokens counts.
// The name is empty where there is none.
func Kind(s job.Spec) string {
	length := func(prompt string) string { return fmt.Sprint(tokensOf(prompt)) }

	s.Seed, s.RemixOf, s.Notes, s.ModelAsked, s.SecondsAsked = 0, "", nil, "", ""
	s.Prompt, s.NegativePrompt = length(s.Prompt), length(s.NegativePrompt)
	scenes := make([]job.Scene, len(s.Scenes))
	for i, c := range s.Scenes {
		scenes[i] = c
		scenes[i].Prompt = length(c.Prompt)
	}
	s.Scenes = scenes

	text, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	return string(text)
}
