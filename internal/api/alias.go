package api

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// Clients are settings for what clients send, so that programs for another server work here
// unchanged.
type Clients struct {
	Aliases   map[string]string // other names of the model, and the one that each is for, "" for any
	Format    string            // of clips whose request names none; empty: webm
	FetchURLs string            // pictures that clips start from: see FetchModes; empty: off
}

// ParseAliases reads names that clients may use for the model: "sora-2" stands for the model that
// is served, whichever it is; "sora-2=longtake-demo" for it only if it has that name. A name twice
// is an error.
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
func (s *server) rename(r *job.Request) {
	if model, ok := s.aliases[r.Model]; ok {
		r.ModelAsked, r.Model = r.Model, model
	}
}
