package coord

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/testlog"
	"github.com/longtake/longtake/internal/wire"
)

// TestRaftsLinesKeepTheirSeverity but for the one with which every start begins.
func TestRaftsLinesKeepTheirSeverity(t *testing.T) {
	for line, want := range map[string]string{
		"heartbeat timeout reached, starting election": "",
		"failed to contact":                            "level=WARN",
		"failed to appendEntries":                      "level=ERROR",
	} {
		var out bytes.Buffer
		log := raftLog(slog.New(slog.NewTextHandler(&out, nil)))
		switch want {
		case "":
			log.Warn(line, "last-leader-addr", "", "last-leader-id", "")
		case "level=WARN":
			log.Warn(line, "server-id", "c2")
		default:
			log.Error(line, "error", "x")
		}
		got := out.String()
		if want == "" && got != "" || !strings.Contains(got, want) || strings.Contains(got, "[WARN]") {
			t.Errorf("%s: %q", line, got)
		}
		out.Reset()
		log.Warn("heartbeat timeout reached, starting election", "last-leader-id", "c1")
		if !strings.Contains(out.String(), "WARN") {
			t.Error("a leader that was lost is no warning")
		}
	}
}

// TestTheModelsNoticesAreLoggedOnce however many shards hold it.
func TestTheModelsNoticesAreLoggedOnce(t *testing.T) {
	var out testlog.Buffer
	cfg := testConfig(t.TempDir())
	cfg.Log = slog.New(slog.NewTextHandler(&out, nil))
	c := start(t, cfg)
	for _, id := range []string{"n1", "n2"} {
		fake(t, c, id, func(r *wire.Registration) { r.Model.Notices = []string{"a key was left out"} })
	}
	if n := out.Count("a key was left out"); n != 1 {
		t.Errorf("the notice is logged %d times", n)
	}
}
