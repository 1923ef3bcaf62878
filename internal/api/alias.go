package api

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// Clients are settings for what clients send, so that programs for another server work here
// unchanged.
type Clients struct {
	// Aliases are other names of models, such as sora-2, each with the model that it stands for, ""
	// for the default. Samples for OpenAI's API have the name written in.
	Aliases map[string]string
	// Model is that of requests that name none; "": the first that a shard came with.
	Model string
	// Format is that of clips whose request names none: webm, mp4 or png; empty: webm. Samples that
	// save a clip as .mp4 want mp4, for which a shard needs ffmpeg.
	Format string
	// FetchURLs says whether pictures that clips start from are fetched from URLs: one of FetchModes;
	// empty: off.
	FetchURLs string
	// Generations are how POST /v1/videos/generations is answered.
	Generations Generations
}

// ParseAliases reads names that clients may use for a model: "sora-2" stands for the default one,
// whichever that is; "sora-2=longtake-demo" for the one of that name. A name twice
// is an error. The error follows "http.model-aliases has". An entry has at most 256 bytes.
func ParseAliases(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range list {
		name, model, _ := strings.Cut(text, "=")
		if name = strings.TrimSpace(name); name == "" || len(text) > 256 {
			return nil, fmt.Errorf("%.64q; allowed: NAME or NAME=MODEL, such as sora-2", text)
		}
		if _, ok := out[name]; ok {
			return nil, fmt.Errorf("%.64q twice; allowed: each name once", name)
		}
		out[name] = strings.TrimSpace(model)
	}
	return out, nil
}

// rename puts the model's name where a request has an alias of it. The answer has the alias again.
// A clip for "sora-2" says "sora-2" then, also in the list, as SDK code may compare the two.
func (s *server) rename(r *job.Request) {
	if model, ok := s.aliases[r.Model]; ok {
		r.ModelAsked, r.Model = r.Model, model
		if model == "" {
			r.Model = s.model
		}
	}
}
