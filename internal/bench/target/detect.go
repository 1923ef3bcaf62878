package target

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// sight is what a server says of itself, as far as it answers: servers differ in which of these
// routes they have.
type sight struct {
	models []served // GET /v1/models
	routes []string // GET /openapi.json
	title  string
	number string // GET /version, or the one of the routes

	tried []string // what was asked, and why it was of no use
	err   error    // why nothing can be asked at all
}

// served is a model in OpenAI's list.
type served struct {
	ID      string          `json:"id"`
	OwnedBy string          `json:"owned_by"`
	Ours    json.RawMessage `json:"longtake"`
}

// look asks a server what it is. What it does not answer is left out; a server that is not there,
// or wants a key, ends it.
func (p *peer) look(ctx context.Context) (s sight) {
	var models struct {
		Data []served `json:"data"`
	}
	if s.ask(p.question(ctx, "/v1/models", routesMax, &models), "GET /v1/models") {
		s.models = models.Data
	}

	if s.err != nil {
		return s // the other questions would wait for nothing
	}

	var routes struct {
		Info struct {
			Title   string `json:"title"`
			Version string `json:"version"`
		} `json:"info"`
		Paths map[string]json.RawMessage `json:"paths"`
	}

	if s.ask(p.question(ctx, "/openapi.json", routesMax, &routes), "GET /openapi.json") {
		s.title, s.number = oneLine(routes.Info.Title), oneLine(routes.Info.Version)
		for path := range routes.Paths {
			s.routes = append(s.routes, path)
		}
	}

	var version struct {
		Version string `json:"version"`
	}
	if s.ask(p.question(ctx, "/version", answerMax, &version), "GET /version") {
		s.number = cmp.Or(oneLine(version.Version), s.number)
	}
	return s
}

// ask notes what became of a question, and reports whether it was answered.
func (s *sight) ask(err error, asked string) bool {
	var f *Failure
	if err == nil {
		return true
	}

	if !errors.As(err, &f) || f.Kind == Unreachable || f.Kind == Cancelled || f.Kind == Late ||
		f.Status == http.StatusUnauthorized || f.Status == http.StatusForbidden {
		s.err = cmp.Or(s.err, err)
	}

	why := err.Error()
	if f != nil && f.Status != 0 {
		why = fmt.Sprint(f.Status)
	}
	s.tried = append(s.tried, fmt.Sprintf("%s: %s", asked, why))
	return false
}

// owner is who serves the models, by their own word.
func (s sight) owner() string {
	if len(s.models) == 0 {
		return ""
	}
	return s.models[0].OwnedBy
}

// Routes are better evidence than names: forks and proxies keep the routes, and change the names.
// FastAPI lists them without a key; Dynamo's frontend and others list none, and are known by who
// they say owns their models.

// dialect is the one that the server speaks; an error says what was tried.
func (s sight) dialect(url string) (string, error) {
	follows := slices.ContainsFunc(s.routes, func(path string) bool {
		return strings.HasPrefix(path, "/v1/videos/{")
	})

	// What the models say comes before the routes: a coordinator of ours may have others' routes,
	// too.
	switch {
	case slices.ContainsFunc(s.models, func(m served) bool { return len(m.Ours) > 0 }):
		return "longtake", nil
	case slices.Contains(s.routes, "/v1/videos/generations"):
		return "generations", nil
	case slices.Contains(s.routes, "/v1/videos") && follows:
		return "videos", nil
	case slices.Contains(s.routes, "/v1/videos") || s.owner() == "nvidia":
		return "dynamo", nil
	case s.owner() == "tensorrt_llm":
		return "generations", nil
	case slices.Contains([]string{"vllm", "sglang", "fastvideo", "openai"}, s.owner()):
		return "videos", nil
	}

	if len(s.tried) == 0 {
		s.tried = []string{"its routes have none of videos"}
	}
	return "", fmt.Errorf("cannot tell which dialect %s speaks (%s); name it with --dialect: %s", url,
		strings.Join(s.tried, "; "), strings.Join(Dialects, ", "))
}

// Describe implements Target: what the server said when it was opened.
func (p *peer) Describe(context.Context) (Server, error) {
	s, out := p.seen, Server{Dialect: p.o.Dialect, Version: p.seen.number, Model: p.o.Model,
		Details: map[string]string{"latency": "as the client sees it"}}
	products := map[string]string{"vllm": "vllm-omni", "tensorrt_llm": "tensorrt-llm",
		"nvidia": "dynamo"}
	out.Product = cmp.Or(products[s.owner()], s.owner(), s.title)
	if out.Model == "" && len(s.models) > 0 {
		out.Model = s.models[0].ID
	}
	if p.o.Model != "" && len(s.models) > 0 &&
		!slices.ContainsFunc(s.models, func(m served) bool { return m.ID == p.o.Model }) {
		out.Details["model"] = "is none of those that the server lists"
	}
	return out, nil
}

// model is the one of a request: its own, the option's, or the server's first.
func (p *peer) model(r Request) string {
	first := ""
	if len(p.seen.models) > 0 {
		first = p.seen.models[0].ID
	}
	return cmp.Or(r.Model, p.o.Model, first)
}
