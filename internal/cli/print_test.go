package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/terminal"
)

// evil clears the screen, sets a title, forges a line, turns text around, hides some, and is no
// UTF-8.
const evil = "a\x1b[2J\x1b]0;t\x07\r\nforged\tb\u009b31m\u202egnp\u2066\u200b\ufeff\u2028\x7f" +
	"\U000e0041"

// fillEvil sets every text within v, and gives every list two elements.
func fillEvil(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(evil)
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Uint8, reflect.Uint, reflect.Int32:
		if v.CanInt() {
			v.SetInt(2)
		} else {
			v.SetUint(2)
		}
	case reflect.Float64:
		v.SetFloat(2)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillEvil(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillEvil(v.Index(i), depth+1)
		}
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok {
			v.Set(reflect.ValueOf(time.Unix(1000, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() && depth < 8 {
				fillEvil(v.Field(i), depth)
			}
		}
	}
}

func evilValue[T any]() T {
	var v T
	fillEvil(reflect.ValueOf(&v).Elem(), 0)
	return v
}

// hostile answers whatever is asked with texts that would do harm on a terminal.
func hostile(t *testing.T, fails bool) string {
	video := func(id string, state job.State) schema.Video {
		v := evilValue[schema.Video]()
		v.ID, v.Details.State, v.Details.Spec.Format = job.ID(id), state, "webm"
		if state == job.Completed {
			v.Error = nil
		}
		return v
	}
	mux := http.NewServeMux()
	answer := func(pattern string, value func(r *http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if fails {
				w.WriteHeader(http.StatusConflict)
				fmt.Fprintf(w, `{"error":{"message":%s,"type":"t","param":%[1]s}}`, quoted(evil))
				return
			}
			_ = json.NewEncoder(w).Encode(value(r))
		})
	}
	id := func(r *http.Request) string { return r.PathValue("id") }
	answer("GET /v1/videos", func(*http.Request) any {
		l := evilValue[schema.List]()
		l.HasMore = true
		return l
	})
	answer("POST /v1/videos", func(*http.Request) any { return video("job_1", job.Queued) })
	answer("DELETE /v1/videos/{id}", func(*http.Request) any { return struct{}{} })
	answer("/v1/videos/{id}", func(r *http.Request) any { return video(id(r), job.Queued) })
	answer("/v1/videos/{id}/{do}", func(r *http.Request) any { return video(id(r), job.Running) })
	answer("/v1/nodes/{id}/{do}", func(*http.Request) any { return evilValue[schema.Node]() })
	answer("GET /v1/nodes", func(*http.Request) any {
		return map[string]any{"data": []schema.Node{evilValue[schema.Node]()}}
	})
	answer("GET /v1/models", func(*http.Request) any {
		return map[string]any{"data": []schema.Model{evilValue[schema.Model]()}}
	})
	answer("GET /v1/quota", func(*http.Request) any { return evilValue[schema.Quota]() })
	answer("GET /v1/keys", func(*http.Request) any {
		return map[string]any{"data": []schema.Key{evilValue[schema.Key]()}}
	})
	answer("POST /v1/keys", func(*http.Request) any { return evilValue[schema.Key]() })
	answer("/v1/keys/{do...}", func(*http.Request) any { return evilValue[schema.Key]() })
	answer("GET /v1/teams", func(*http.Request) any {
		return map[string]any{"data": []schema.Team{evilValue[schema.Team]()}}
	})
	answer("/v1/teams/{do...}", func(*http.Request) any { return evilValue[schema.Team]() })
	answer("GET /v1/rollout", func(*http.Request) any { return evilValue[schema.RolloutList]() })
	answer("/v1/rollout/{do...}", func(*http.Request) any { return evilValue[schema.Rollout]() })
	answer("/v1/audit", func(*http.Request) any { return evilValue[audit.Entry]() })
	answer("/v1/audit/status", func(*http.Request) any { return evilValue[schema.AuditStatus]() })
	answer("GET /v1/usage", func(*http.Request) any { return evilValue[schema.UsageList]() })
	answer("/v1/cluster", func(*http.Request) any { return evilValue[schema.Status]() })
	answer("/v1/cluster/{do...}", func(*http.Request) any { return evilValue[schema.Status]() })
	mux.HandleFunc("GET /v1/videos/{id}/events", func(w http.ResponseWriter, r *http.Request) {
		for _, s := range []job.State{job.Queued, job.Running, job.Failed} {
			b, _ := json.Marshal(video(id(r), s))
			fmt.Fprintf(w, "event: video\ndata: %s\n\n", b)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// serverCommands are arguments for every command that shows what a server says.
var serverCommands = map[string][]string{
	"longtake generate":                 {"-p", "x"},
	"longtake job list":                 {},
	"longtake job status":               {"job_1"},
	"longtake job logs":                 {"job_1"},
	"longtake job fetch":                {"job_1"},
	"longtake job cancel":               {"job_1"},
	"longtake job retry":                {"job_1"},
	"longtake job delete":               {"job_1"},
	"longtake node list":                {},
	"longtake usage":                    {},
	"longtake model list":               {},
	"longtake node status":              {evil},
	"longtake node drain":               {evil},
	"longtake node undrain":             {evil},
	"longtake quota":                    {},
	"longtake cluster status":           {},
	"longtake cluster members":          {},
	"longtake cluster members add":      {"c2", "--raft", "h:1"},
	"longtake cluster members remove":   {"c2"},
	"longtake cluster transfer-leader":  {},
	"longtake rollout set":              {"lora", "--percent", "5"},
	"longtake rollout list":             {},
	"longtake rollout show":             {"lora"},
	"longtake rollout delete":           {"lora"},
	"longtake audit tail":               {},
	"longtake audit export":             {},
	"longtake audit verify":             {},
	"longtake cluster snapshot save":    {"file"},
	"longtake cluster snapshot restore": {"file"},

	"longtake bench serve": {"--count", "1", "--warmup", "0", "--timeout", "5s"},

	"longtake pki token":  {"--role", "shard"},
	"longtake pki tokens": {},
	"longtake pki revoke": {evil},
	"longtake pki show":   {},
	"longtake pki rotate": {},

	"longtake key create":  {"--name", "a"},
	"longtake key list":    {},
	"longtake key show":    {evil},
	"longtake key update":  {evil, "--team", "a"},
	"longtake key rotate":  {evil},
	"longtake key revoke":  {evil},
	"longtake team set":    {"a", "--quota", "running=4"},
	"longtake team list":   {},
	"longtake team remove": {evil},
}

// localCommands ask no server.
var localCommands = map[string]bool{"longtake up": true, "longtake plan": true,
	"longtake config show": true, "longtake bench run": true, "longtake bench engine": true,
	"longtake bench device": true, "longtake bench gpu": true, "longtake bench compare": true,
	"longtake bench report": true,
	"longtake bench schema": true, "longtake bench coordinator": true, "longtake bench mlperf": true,
	"longtake model verify": true, "longtake version": true,
	"longtake model inspect": true, "longtake model convert": true,
	"longtake pricing check": true, "longtake pki init": true, "longtake simulate": true}

// leaves lists every command that does something.
func leaves(cmd *cobra.Command) []string {
	var out []string
	if len(cmd.Commands()) == 0 || cmd.Name() == "members" {
		out = append(out, cmd.CommandPath())
	}
	for _, c := range cmd.Commands() {
		out = append(out, leaves(c)...)
	}
	return out
}

// TestNothingFromAServerReachesTheTerminal runs every command against a server whose every text
// is hostile, as table, as JSON, and with answers that are errors.
func TestNothingFromAServerReachesTheTerminal(t *testing.T) {
	alone(t)
	if err := os.WriteFile("file", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	good, bad := hostile(t, false), hostile(t, true)
	for _, path := range leaves(Longtake()) {
		args, ok := serverCommands[path]
		if !ok {
			if !localCommands[path] {
				t.Errorf("%s: it is in neither list of this test", path)
			}
			continue
		}
		args = append(strings.Fields(path)[1:], args...)
		mores := [][]string{{}, {"--json"}, {"--coordinator", bad}}
		if path == "longtake job status" {
			mores = append(mores, []string{"--watch"}, []string{"--watch", "--json"})
		}
		for _, more := range mores {
			all := append(append([]string{"--coordinator", good}, args...), more...)
			r := longtake(t, all...)
			if where := firstSpecial(r.out + r.err); where != "" {
				t.Errorf("%q prints %s", all[2:], where)
			}
			if strings.Contains(r.out+r.err, "\nforged") {
				t.Errorf("%q lets a line be forged: %q", all[2:], r.out+r.err)
			}
		}
	}
}

// firstSpecial returns what is around the first character that does more than to be seen.
func firstSpecial(text string) string {
	if !utf8.ValidString(text) {
		return "bytes that are no UTF-8"
	}
	for i, r := range text {
		if terminal.Special(r) && r != '\n' {
			return fmt.Sprintf("%q", text[max(0, i-20):min(len(text), i+20)])
		}
	}
	return ""
}

// TestProgressIsPlain feeds all three reporters.
func TestProgressIsPlain(t *testing.T) {
	v := evilValue[schema.Video]()
	for name, open := range map[string]func(w *bytes.Buffer) reporter{
		"lines": func(w *bytes.Buffer) reporter { return &lines{w: w} },
		"json":  func(w *bytes.Buffer) reporter { return &jsonReporter{w: w} },
		"bar":   func(w *bytes.Buffer) reporter { return &bar{w: w} },
	} {
		for _, state := range []job.State{job.Queued, job.Running} {
			v.Details.State = state
			var out bytes.Buffer
			rep := open(&out)
			rep.update(v)
			rep.lost(v, v.Details.Losses[0])
			rep.end()
			text := out.String()
			if name == "bar" { // which moves the cursor itself
				text = strings.NewReplacer("\r", "", "\x1b[K", "", "\x1b[2K", "").Replace(text)
			}
			if where := firstSpecial(text); where != "" || strings.Contains(text, "[2J\x1b") {
				t.Errorf("%s: %s", name, where)
			}
		}
	}
}

// TestPrintingGoesThroughOnePlace: what is printed in another way would not be made plain.
func TestPrintingGoesThroughOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 { // a test before this one has changed the directory
		t.Fatal("no sources")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if f == "print.go" || strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, call := range []string{"fmt.Fprint", "fmt.Print", "io.WriteString(", "json.NewEncoder("} {
			if strings.Contains(string(b), call) {
				t.Errorf("%s calls %s", f, call)
			}
		}
	}
}

// TestJobsHaveAColumnOfCosts lists a job with a bill and one without, each below the same heads.
func TestJobsHaveAColumnOfCosts(t *testing.T) {
	var paid, free schema.Video
	paid.ID, free.ID = "video_1", "video_2"
	paid.Details.Cost = &schema.Cost{Amount: 1500000, Currency: "EUR"}
	list := schema.List{Object: "list", Data: []schema.Video{paid, free}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(list)
	}))
	defer srv.Close()

	out := run(t.Context(), "job", "list", "--coordinator", srv.URL).out
	lines := strings.Split(out, "\n")
	at := strings.Index(lines[0], "COST")
	if at < 0 || len(lines) < 3 || !strings.HasPrefix(lines[1][at:], "1.50 EUR ") ||
		!strings.HasPrefix(lines[2][at:], "- ") {
		t.Errorf("the list is\n%s", out)
	}
}
