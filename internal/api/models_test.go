package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/schema"
)

// TestSeveralModels asks for each of two models, by its name, by an alias, and without one.
func TestSeveralModels(t *testing.T) {
	f := newFake()
	other := f.model
	other.Name = "other"
	f.more = append(f.more, other)
	for _, c := range []struct{ setting, want string }{{"", "demo"}, {"other", "other"}} {
		h := New(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody,
			Clients: Clients{
				Model: c.setting, Aliases: map[string]string{"sora-2": "", "mine": "other"}}})
		for name, want := range map[string]string{"": c.want, "sora-2": c.want, "mine": "other",
			"demo": "demo", "other": "other"} {
			body := `{"prompt": "a"}`
			if name != "" {
				body = `{"prompt": "a", "model": "` + name + `"}`
			}
			w := record(t, h, body)
			if _, _, v := answerOf(t, w.Code, w.Body.String()); v.Details.Spec.Model != want {
				t.Errorf("default %q: a clip of %q is one of %q, want %q", c.setting, name,
					v.Details.Spec.Model, want)
			}
		}
		w := record(t, h, `{"prompt": "a", "model": "third"}`)
		if _, e, _ := answerOf(t, w.Code, w.Body.String()); !strings.Contains(e.Message,
			`allowed: "demo", "other"`) {
			t.Errorf("an unknown model: %s", e.Message)
		}

		var list schema.ModelList
		readJSON(t, h, "/v1/models", &list)
		if len(list.Data) != 2 || list.Data[0].Details.Default != (c.want == "demo") ||
			list.Data[1].Details.Default != (c.want == "other") {
			t.Errorf("default %q: %+v", c.setting, list)
		}
		var m schema.Model
		readJSON(t, h, "/v1/models/sora-2", &m)
		if m.ID != "sora-2" || m.Details.Name != c.want {
			t.Errorf("sora-2 is %q of %q", m.ID, m.Details.Name)
		}
	}
}

// readJSON reads a JSON answer.
func readJSON(t *testing.T, h http.Handler, path string, to any) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), to); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
}

// TestARemixKeepsItsModel whatever the default is, unless it names another.
func TestARemixKeepsItsModel(t *testing.T) {
	f := newFake()
	other := f.model
	other.Name = "other"
	f.more = append(f.more, other)
	h := New(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody,
		Clients: Clients{Model: "demo"}})
	w := record(t, h, `{"prompt": "a", "model": "other"}`)
	_, _, v := answerOf(t, w.Code, w.Body.String())
	for body, want := range map[string]string{`{"prompt": "b"}`: "other",
		`{"prompt": "b", "model": "demo"}`: "demo"} {
		r := httptest.NewRequest(http.MethodPost, "/v1/videos/"+string(v.ID)+"/remix",
			strings.NewReader(body))
		r.Host = "127.0.0.1"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if _, e, v := answerOf(t, w.Code, w.Body.String()); v.Details.Spec.Model != want {
			t.Errorf("%s: a clip of %q: %s", body, v.Details.Spec.Model, e.Message)
		}
	}
}
