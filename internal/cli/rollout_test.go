package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
)

func TestRolloutCommands(t *testing.T) {
	alone(t)
	var last schema.RolloutChange
	no := false
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		json.NewEncoder(w).Encode(v) //nolint:errcheck // the test sees what is missing
	}
	mux.HandleFunc("POST /v1/rollout/{name}", func(w http.ResponseWriter, r *http.Request) {
		last = schema.RolloutChange{}
		json.NewDecoder(r.Body).Decode(&last) //nolint:errcheck // likewise
		answer(w, schema.Rollout{Name: "model:" + r.PathValue("name"), Percent: last.Percent,
			Keys: last.Keys, Deny: last.Deny})
	})
	mux.HandleFunc("GET /v1/rollout", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, schema.RolloutList{Data: []schema.Rollout{{Name: "lora", Percent: 0.5}}})
	})
	mux.HandleFunc("GET /v1/rollout/{name}", func(w http.ResponseWriter, r *http.Request) {
		out := schema.Rollout{Name: "lora", Open: true}
		if out.Owner = r.URL.Query().Get("owner"); out.Owner != "" {
			out.Allowed, out.Why = &no, "lora is denied to ann"
		}
		answer(w, out)
	})
	mux.HandleFunc("DELETE /v1/rollout/{name}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{})
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	t.Setenv("LONGTAKE_URL", srv.URL)

	f := func(code int, want string, args ...string) {
		t.Helper()
		r := longtake(t, append([]string{"rollout"}, args...)...)
		if r.code != code || !strings.Contains(r.out+r.err, want) {
			t.Errorf("%v: %+v, want %d and %q", args, r, code, want)
		}
	}
	f(0, "model:wan2.2  10       team-a,ci  bob", "set", "wan2.2", "--percent", "10", "--keys",
		"team-a,ci", "--deny", "bob")
	f(0, "100", "set", "wan2.2", "--deny", "bob")
	if last.Percent != 100 || len(last.Deny) != 1 {
		t.Errorf("a denial alone is %+v", last)
	}
	f(2, "nobody is named", "set", "wan2.2")
	f(2, "percent is 101; allowed: 0 to 100", "set", "wan2.2", "--percent", "101")
	f(0, "lora  0.5", "list")
	f(0, `"percent":0.5`, "list", "--json")
	f(0, "open to all", "show", "lora")
	f(0, "ann may not use it: lora is denied to ann", "show", "lora", "--owner", "ann")
	f(0, `"allowed":false`, "show", "lora", "--owner", "ann", "--json")
	f(0, "", "delete", "lora")
	f(0, "sparse-attention  sparse attention", "--help")
}
