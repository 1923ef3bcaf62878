//go:build unix

package mlperf

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/bench/prompts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// standIn is a LoadGen whose interpreter is a shell script, which leaves what it reads in "heard".
func standIn(t *testing.T, script string) (l LoadGen, heard string) {
	t.Helper()
	dir := t.TempDir()
	heard = filepath.Join(dir, "heard")
	path := filepath.Join(dir, "python")
	text := "#!/bin/sh\nhear() { read -r line; echo \"$line\" >>" + heard + "; }\n" + script
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return LoadGen{Python: path, AtOnce: 2}, heard
}

// trial is a test of two clips.
func trial(t *testing.T) Test {
	t.Helper()
	list, err := prompts.Parse("list", []byte("a cat\na dog\na cow\n"))
	if err != nil {
		t.Fatal(err)
	}
	return Test{Task: Task{Prompts: list, Count: 2}, Scenario: Offline, Mode: TEST04,
		Dir: t.TempDir(), UserConf: "user.conf"}
}

// TestLoadGen lets a stand-in of LoadGen ask for two clips, and wants it to be told what the test
// is and to get both answers.
func TestLoadGen(t *testing.T) {
	l, path := standIn(t, `hear
		cp "$(echo "$line" | sed 's/.*"audit_conf":"\([^"]*\)".*/\1/')" "$(dirname "$0")/audit"
		echo '{"version": "6.0.17"}'
		echo '{"issue": [[18446744073709551615, 2], [7, 0]]}'
		hear; hear
		echo '{"end": true}'`)
	asked := [3]atomic.Int32{}
	err := l.Run(t.Context(), trial(t), func(_ context.Context, i int) ([]byte, error) {
		asked[i].Add(1)
		return []byte{byte(i)}, nil
	})
	if err != nil || asked[0].Load() != 1 || asked[1].Load() != 0 || asked[2].Load() != 1 {
		t.Fatalf("asked for %v: %v", &asked, err)
	}

	heard, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(heard), "\n")
	var told struct {
		Scenario, Mode, Model string
		Total                 int
		Overrides             map[string]float64
	}
	if err := json.Unmarshal([]byte(lines[0]), &told); err != nil || told.Scenario != "Offline" ||
		told.Model != Model || told.Total != 3 || told.Overrides["min_query_count"] != 2 {
		t.Errorf("%+v, %v", told, err)
	}
	for _, want := range []string{`{"id":18446744073709551615,"data":"Ag=="}`,
		`{"id":7,"data":"AA=="}`} {
		if !strings.Contains(string(heard), want+"\n") {
			t.Errorf("no %s in %s", want, heard)
		}
	}
	audit, err := os.ReadFile(filepath.Join(filepath.Dir(path), "audit"))
	same := "*.Offline.performance_issue_same_index = 2\n"
	if err != nil || !strings.Contains(string(audit), same) {
		t.Errorf("%s, %v", audit, err)
	}
}

// TestLoadGenFails wants an error that says what to do, and no process and no goroutine left.
func TestLoadGenFails(t *testing.T) {
	broken := errors.New("no power")
	for script, says := range map[string]string{
		`echo '{"error": "No module", "missing": "mlcommons-loadgen"}'; exit 1`: "pip install " +
			"mlcommons-loadgen installs it",
		`echo '{"error": "bad settings"}'`: "bad settings",
		`exit 3`:                           "ended before its test",
		`echo hello; hear; hear`:           "not a line of JSON",
		// It waits for a clip, as LoadGen does.
		`hear; echo '{"issue": [[1, 1]]}'; hear; hear`: "prompt 2: no power",
	} {
		l, _ := standIn(t, script)
		err := l.Run(t.Context(), trial(t), func(context.Context, int) ([]byte, error) {
			return nil, broken
		})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", script, err, says)
		}
	}
	l := LoadGen{Python: "/nowhere/python3"}
	if err := l.Run(t.Context(), trial(t), nil); err == nil ||
		!strings.Contains(err.Error(), "--python") {
		t.Errorf("no interpreter: %v", err)
	}

	l, _ = standIn(t, `hear; echo '{"issue": [[1, 1]]}'; hear; hear`)
	ctx, cancel := context.WithCancel(t.Context())
	err := l.Run(ctx, trial(t), func(ctx context.Context, _ int) ([]byte, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
