package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestUnknownVariables(t *testing.T) {
	for name, says := range map[string]string{
		"LONGTAKE_THREAD=4":                         "LONGTAKE_THREADS",
		"LONGTAKE_LIMIT_QUEUED=4":                   "LONGTAKE_LIMITS_QUEUED",
		"LONGTAKE_=":                                "unknown",
		"LONGTAKE_NOTHING_LIKE_THAT=1":              "unknown",
		"LONGTAKE_THREADS=4":                        "",
		"LONGTAKE_RAFT_LISTEN=x":                    "", // of another program
		"LONGTAKE_CPU=generic":                      "",
		"LONGTAKE_OTHER=x":                          "", // of the sample
		"LONGTAKER=x":                               "",
		"LONGTAKE_SERVICE_HOST=10.0.0.1":            "",
		"LONGTAKE_SERVICE_PORT_HTTP=80":             "",
		"LONGTAKE_PORT=tcp://10.0.0.1:80":           "",
		"LONGTAKE_PORT_80_TCP_ADDR=10.0.0.1":        "",
		"LONGTAKE_COORDINATOR_PORT_4222_TCP=tcp://": "",
		"LONGTAKE_COORDINATOR_SERVICE_HOST=1":       "",
		"LONGTAKE_COORDINATOR_SERVICE_HOSTS=1":      "LONGTAKE_",
	} {
		err := sample.checkEnvironment([]string{"PATH=/bin", name})
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("LONGTAKE_PEER", "x")
	if _, err := Load(sample, pflag.NewFlagSet("x", pflag.ContinueOnError), ""); err == nil {
		t.Error("a wrong variable was ignored")
	}
}

// TestEveryVariableIsKnown finds those that the sources read: each has to be in the list, or the
// programs would refuse to start where it is set.
func TestEveryVariableIsKnown(t *testing.T) {
	read := regexp.MustCompile(`(?:Getenv|LookupEnv)\("(LONGTAKE_[A-Z_]+)"|\$\{?(LONGTAKE_[A-Z_]+)`)
	known := Variables()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 {
				return filepath.SkipDir
			}
			return err
		}
		if ext := filepath.Ext(path); ext != ".go" && ext != ".sh" && d.Name() != "Makefile" {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range read.FindAllStringSubmatch(string(b), -1) {
			if name := m[1] + m[2]; !slices.Contains(known, name) {
				t.Errorf("%s reads %s, which is not in the list of variables", path, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChecks(t *testing.T) {
	for key, c := range map[string]struct {
		good, bad []any
	}{
		"id":          {[]any{"c1", "a-b_C"}, []any{"", "a/b", "a b", strings.Repeat("x", 65), "ä"}},
		"nats.listen": {[]any{"", ":4222", "[::1]:0", "h:65535"}, []any{"h", "h:65536", "h:-1", "::1:2:x"}},
		"http.url":    {[]any{"", "https://h", "http://h:1/x"}, []any{"h:80", "http://", "nats://h"}},
		"control": {[]any{"", "h:4222", "nats://h", "tls://a:1,nats://b:2", "nats://u:p@h:1"},
			[]any{"foo://::", "nats://", "http://h", "nats://h:99999", "nats://h:1,", ",", "nats://h:1 2"}},
		"limits.kept": {[]any{1, 10000}, []any{0, -5, 1 << 40}},
	} {
		for _, v := range c.good {
			if allowed := checks[key](v); allowed != "" {
				t.Errorf("%s refuses %v: %s", key, v, allowed)
			}
		}
		for _, v := range c.bad {
			if checks[key](v) == "" {
				t.Errorf("%s takes %v", key, v)
			}
		}
	}
}

// TestDefaultsAreAllowed: else nothing would start without a file.
func TestDefaultsAreAllowed(t *testing.T) {
	used := map[string]bool{}
	for _, s := range []Settings{Coordinator(), Shard(), Client(), Local(), Up()} {
		for _, x := range s {
			used[x.Key] = true
			if c := checks[x.Key]; c != nil && c(x.Default) != "" {
				t.Errorf("%s: its default %v is refused: %s", x.Key, x.Default, c(x.Default))
			}
		}
	}
	for key := range checks {
		if !used[key] {
			t.Errorf("a check of %s, which is no setting", key)
		}
	}
}

func FuzzNATS(f *testing.F) {
	f.Add("nats://h:1,tls://u:p@[::1]:2")
	f.Fuzz(func(_ *testing.T, s string) { natsURLs(s); Redact(s) })
}
