package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

// TestMistakesAreOneLineAndExitTwo says for each what the line has to name.
func TestMistakesAreOneLineAndExitTwo(t *testing.T) {
	_, clean := alone(t)
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"genrate"}, []string{`"genrate"`, `"generate"`}},
		{[]string{"a red ball"}, []string{`"a red ball"`, "generate -p"}},
		{[]string{"generate", "a red ball"}, []string{`"a red ball"`, "-p"}},
		{[]string{"generate", "-p", "a", "red", "ball"}, []string{`"red"`, "-p"}},
		{[]string{"job", "lst"}, []string{`"lst"`, `"list"`}},
		{[]string{"job", "frobnicate"}, []string{"frobnicate"}},
		{[]string{"node", "lsit"}, []string{"lsit"}},
		{[]string{"cluster", "snapshot", "sav"}, []string{`"save"`}},
		{[]string{"bench", "rum"}, []string{`"run"`}},
		{[]string{"config", "shwo"}, []string{"shwo"}},
		{[]string{"up", "now"}, []string{`"now"`, "up"}},
		{[]string{"job", "status"}, []string{"ID"}},
		{[]string{"job", "status", "a", "b"}, []string{`"b"`}},
		{[]string{"job", "delete", ""}, []string{`""`, "id of a job"}},
		{[]string{"job", "fetch", "../../x"}, []string{"../../x", "id of a job"}},
		{[]string{"job", "logs", "a/b"}, []string{"a/b"}},
		{[]string{"plan", "--shards", "-1"}, []string{"--shards", "-1", "from 1"}},
		{[]string{"plan", "--shards", "-1", "--coordinator", "http://127.0.0.1:1"},
			[]string{"--shards", "-1", "from 1"}},
		{[]string{"plan", "--shards", "0"}, []string{"--shards", "0", "from 1"}},
		{[]string{"generate", "-p", "x", "--seed", "1.5"}, []string{"--seed", "1.5", "-1 draws one"}},
		{[]string{"generate", "-p", "x", "--fps", "fast"}, []string{"--fps", "fast", "24000/1001"}},
		{[]string{"generate", "-p", "x", "--fps", "-5", "--seconds", "2"}, []string{"--fps", "-5", "120"}},
		{[]string{"up", "--http-model-aliases", "a,a"}, []string{"http.model-aliases", `"a" twice`}},
		{[]string{"up", "--http-fetch-urls", "maybe"}, []string{"http.fetch-urls", "off, https, any"}},
		{[]string{"up", "--http-default-format", "avi"}, []string{"http.default-format", "mp4"}},
		{[]string{"up", "--listen", "nowhere"}, []string{"listen", "nowhere", "host:port"}},
		{[]string{"generate", "-p", "x", "-o", "/proc/clip.webm"}, []string{"/proc/clip.webm", "write"}},
		{[]string{"generate", "-p", "x", "-o", "/proc/frames/"}, []string{"/proc", "write"}},
		{[]string{"generate", "-p", "x", "--save-latents", "/proc/l"}, []string{"/proc", "write"}},
	} {
		r := longtake(t, c.args...)
		if r.code != daemon.ExitBadRequest || strings.Count(r.err, "\n") != 1 || r.out != "" ||
			strings.Contains(r.err, "; ;") {
			t.Errorf("%q: %+v", c.args, r)
		}
		for _, want := range c.says {
			if !strings.Contains(r.err, want) {
				t.Errorf("%q: %q does not say %q", c.args, r.err, want)
			}
		}
	}
	clean()
}

// TestGroupsShowTheirHelp: without a command they are asked what they can do.
func TestGroupsShowTheirHelp(t *testing.T) {
	alone(t)
	for _, args := range [][]string{{}, {"job"}, {"cluster", "snapshot"}, {"job", "--help"}} {
		if r := longtake(t, args...); r.code != daemon.ExitDone || !strings.Contains(r.out, "Usage:") {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// runDaemon runs a daemon's command with a service that must not be reached.
func runDaemon(s config.Settings, args ...string) outcome {
	var out, errs bytes.Buffer
	cmd := daemon.Command("daemon", "short", "long", s,
		func(context.Context, *config.Values, *slog.Logger) error { return errors.New("it ran") })
	cmd.SetOut(&out)
	return outcome{daemon.Execute(context.Background(), cmd, args, &errs), out.String(), errs.String()}
}

// TestBadDaemonValuesExitTwo names the setting and what is allowed, before anything starts.
func TestBadDaemonValuesExitTwo(t *testing.T) {
	alone(t)
	for role, list := range map[string]map[string]string{
		"coordinator": {"--id": "a/b", "--limits-queued": "-5", "--limits-kept": "0", "--limits-nodes": "x",
			"--http-listen": "127.0.0.1", "--nats-listen": "h:99999", "--http-url": "ftp://x",
			"--lost-after": "1ms", "--checkpoint-every-steps": "-1", "--log-level": "loud",
			"--log-format": "xml"},
		"shard": {"--control": "foo://::", "--threads": "-1", "--device": "abacus", "--dtype": "int4",
			"--data-listen": "here", "--data-peer-timeout": "-1s", "--drain-timeout": "-1s",
			"--data-url": "http://x:1", "--data-advertise": "0.0.0.0:1",
			"--data-direct-advertise": "x:0"},
	} {
		s := config.Coordinator()
		if role == "shard" {
			s = config.Shard()
		}
		for flag, value := range list {
			r := runDaemon(s, flag, value)
			key := strings.ReplaceAll(flag[2:], "-", ".")
			plain := strings.NewReplacer(".", "", "-", "").Replace
			if r.code != daemon.ExitBadRequest || strings.Contains(r.err, "it ran") ||
				!strings.Contains(plain(r.err), plain(key)) || !strings.Contains(r.err, value) {
				t.Errorf("%s %s %s: %+v", role, flag, value, r)
			}
		}
		if r := runDaemon(s); r.code != daemon.ExitFailed || !strings.Contains(r.err, "it ran") {
			t.Errorf("%s with defaults: %+v", role, r)
		}
	}
}

// TestUpReadsTheEnvironment as every command does.
func TestUpReadsTheEnvironment(t *testing.T) {
	alone(t)
	t.Setenv("LONGTAKE_DATA", "somewhere")
	t.Setenv("LONGTAKE_LISTEN", "127.0.0.1:77")
	r := longtake(t, "config", "show")
	if r.code != 0 || !strings.Contains(r.out, "somewhere") || !strings.Contains(r.out, "127.0.0.1:77") {
		t.Errorf("%+v", r)
	}
	t.Setenv("LONGTAKE_DATA", "/proc/none/such")
	if r := longtake(t, "up"); r.code == 0 || !strings.Contains(r.err, "/proc/none") {
		t.Errorf("%+v", r)
	}
}

// TestUnknownVariablesAreRefused by every command but the one that only tells the version.
func TestUnknownVariablesAreRefused(t *testing.T) {
	alone(t)
	t.Setenv("LONGTAKE_THREAD", "2")
	for _, args := range [][]string{{"plan"}, {"job", "list"}, {"up"}, {"generate", "-p", "x"},
		{"config", "show"}} {
		if r := longtake(t, args...); r.code != daemon.ExitBadRequest || !strings.Contains(r.err,
			`did you mean "LONGTAKE_THREADS"`) {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := runDaemon(config.Shard()); r.code != daemon.ExitBadRequest {
		t.Errorf("%+v", r)
	}
	if r := longtake(t, "version"); r.code != daemon.ExitDone {
		t.Errorf("%+v", r)
	}
}

// TestSecretsAreNotShown of URLs.
func TestSecretsAreNotShown(t *testing.T) {
	alone(t)
	t.Setenv("LONGTAKE_URL", "http://me:secret@127.0.0.1:1")
	for _, args := range [][]string{{"config", "show"}, {"config", "show", "--json"}, {"node", "list"}} {
		if r := longtake(t, args...); strings.Contains(r.out+r.err, "secret") {
			t.Errorf("%q: %+v", args, r)
		}
	}
	r := runDaemon(config.Shard(), "--show-config", "--control", "nats://me:secret@h:1,nats://you:secret@i:2")
	if r.code != 0 || strings.Contains(r.out, "secret") || !strings.Contains(r.out, "@i:2") {
		t.Errorf("%+v", r)
	}
}

// TestFetchTakesTheNameThatWasAsked: an answer that says another is refused, and writes nothing.
func TestFetchTakesTheNameThatWasAsked(t *testing.T) {
	_, clean := alone(t)
	for _, id := range []string{"../../evil", "/tmp/evil", "other", ""} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			terminal.Printf(w, `{"id":%q,"longtake":{"state":"completed","spec":{"format":"webm"},`+
				`"result":{"video":{"size":0,"sha256":"x"}}}}`, id)
		}))
		if r := longtake(t, "job", "fetch", "job_1", "--coordinator", s.URL); r.code != daemon.ExitFailed {
			t.Errorf("%q: %+v", id, r)
		}
		s.Close()
	}
	clean()
	if _, err := os.Stat("../../evil.webm"); err == nil {
		t.Error("a file was written outside")
	}
}
