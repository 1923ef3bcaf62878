package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

var sample = Settings{
	{Key: "name", Default: "n", Short: "n"},
	{Key: "nats.listen", Default: "127.0.0.1:1"},
	{Key: "threads", Default: 2},
	{Key: "fast", Default: false},
	{Key: "lost-after", Default: 3 * time.Second},
	{Key: "peers", Default: []string{"a"}},
	{Key: "url", Default: "", Env: "LONGTAKE_OTHER"},
}

func load(t *testing.T, file string, args ...string) (*Values, error) {
	t.Helper()
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	sample.Define(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(sample, fs, path)
}

func TestPrecedence(t *testing.T) {
	const file = "nats:\n  listen: file:1\nthreads: 7\nfast: true\nlost-after: 5s\npeers: [x, y]\n"
	check := func(v *Values, err error, key string, got, want any, source string) {
		t.Helper()
		if err != nil || got != want || !strings.HasPrefix(v.Source(key), source) {
			t.Errorf("%s: %v from %q, %v; want %v from %s", key, got, v.Source(key), err, want, source)
		}
	}
	v, err := load(t, "")
	check(v, err, "threads", v.Int("threads"), 2, "default")
	v, err = load(t, file)
	check(v, err, "threads", v.Int("threads"), 7, "file ")
	check(v, err, "nats.listen", v.String("nats.listen"), "file:1", "file ")
	check(v, err, "fast", v.Bool("fast"), true, "file ")
	check(v, err, "lost-after", v.Duration("lost-after"), 5*time.Second, "file ")
	if !slices.Equal(v.Strings("peers"), []string{"x", "y"}) {
		t.Errorf("peers %v", v.Strings("peers"))
	}
	t.Setenv("LONGTAKE_THREADS", "9")
	t.Setenv("LONGTAKE_NATS_LISTEN", "env:1")
	t.Setenv("LONGTAKE_OTHER", "there")
	t.Setenv("LONGTAKE_PEERS", "p,q,r")
	v, err = load(t, file)
	check(v, err, "threads", v.Int("threads"), 9, "environment LONGTAKE_THREADS")
	check(v, err, "url", v.String("url"), "there", "environment LONGTAKE_OTHER")
	check(v, err, "peers", len(v.Strings("peers")), 3, "environment")
	v, err = load(t, file, "--nats-listen", "flag:1", "-n", "me", "--peers", "z")
	check(v, err, "nats.listen", v.String("nats.listen"), "flag:1", "flag --nats-listen")
	check(v, err, "name", v.String("name"), "me", "flag --name")
	check(v, err, "peers", v.Strings("peers")[0], "z", "flag")
	if e := v.Entries(); len(e) != len(sample) || e[4].Value != "5s" || e[4].Key != "lost-after" {
		t.Errorf("entries %+v", e)
	}
}

func TestRefuses(t *testing.T) {
	check := func(file string, parts ...string) {
		t.Helper()
		_, err := load(t, file)
		for _, p := range parts {
			if err == nil || !strings.Contains(err.Error(), p) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v lacks %q", file, err, p)
			}
		}
	}
	check("treads: 4\n", `unknown key "treads"`, `"threads"`)
	check("nats:\n  lisen: x\n", `"nats.lisen"`, `"nats.listen"`)
	check("threads: many\n", "threads", "many", "an integer")
	check("fast: maybe\n", "fast", "true or false")
	check("lost-after: 5\n", "lost-after", "3s")
	check("threads: 2\n\tbad\n", "cannot read the configuration")
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	if _, err := Load(sample, fs, "/does/not/exist.yaml"); err == nil {
		t.Error("a missing file was accepted")
	}
}

// TestRolesAreDefined wants every key once, with help, and a default that converts.
func TestRolesAreDefined(t *testing.T) {
	for _, s := range []Settings{Coordinator(), Shard(), append(Client(), Local()...)} {
		fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
		s.Define(fs) // panics when a key comes twice
		if _, err := Load(s, fs, ""); err != nil {
			t.Error(err)
		}
		for _, x := range s {
			if x.Usage == "" {
				t.Errorf("%s has no help", x.Key)
			}
		}
	}
}

func TestBytes(t *testing.T) {
	s := Settings{{Key: "limits.disk", Default: Bytes(7)}}
	read := func(text string) (*Values, error) {
		fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
		s.Define(fs)
		if err := fs.Parse([]string{"--limits-disk", text}); err != nil {
			t.Fatal(err)
		}
		return Load(s, fs, "")
	}
	for text, want := range map[string]int64{"0": 0, "512": 512, "64MiB": 64 << 20, "20GB": 20e9,
		"1.5 GiB": 3 << 29, "2tb": 2e12} {
		if v, err := read(text); err != nil || v.Bytes("limits.disk") != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "-1", "many", "1XB", "9EiB", "99999999999999999999",
		"NaN", "1e400GB"} {
		if v, err := read(text); err == nil {
			t.Errorf("%q is %d", text, v.Bytes("limits.disk"))
		}
	}
	if v, err := Load(s, pflag.NewFlagSet("x", pflag.ContinueOnError), ""); err != nil ||
		v.Bytes("limits.disk") != 7 {
		t.Errorf("the default: %v", err)
	}
}

// TestUnitsLetShardsDrain holds what stops a shard to the time that it takes to hand its work over.
func TestUnitsLetShardsDrain(t *testing.T) {
	i := slices.IndexFunc(Shard(), func(s Setting) bool { return s.Key == "drain-timeout" })
	drain := Shard()[i].Default.(time.Duration)
	for path, key := range map[string]string{"systemd/longtake-shard.service": "\nTimeoutStopSec=",
		"compose.yaml": "\n  stop_grace_period: "} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", path))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), key)
		digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		limit, err := time.ParseDuration(digits + "s")
		if err != nil || limit < drain+10*time.Second {
			t.Errorf("%s: a shard is stopped after %v, %v; it drains for %v", path, limit, err, drain)
		}
	}
}
