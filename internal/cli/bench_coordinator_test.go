package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/bench/controlplane"
)

func TestBenchCoordinatorRefusesBeforeItStarts(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for want, args := range map[string][]string{
		"coordinators is 2; allowed: 1, 3":        {"--in-process", "--coordinators", "2"},
		"allowed: none with --in-process":         {"--in-process", "--program", "x"},
		"--program: ":                             {"--program", "/none/such"},
		"give --program, or --in-process":         nil,
		"rate is NaN; allowed: 0 to 1000":         {"--in-process", "--rate", "NaN"},
		"locked is true; allowed: only processes": {"--in-process", "--locked"},
	} {
		r := longtake(t, append([]string{"bench", "coordinator"}, args...)...)
		if r.code != 2 || !strings.Contains(r.err, want) {
			t.Errorf("%q: code %d, %s; want %s", args, r.code, r.err, want)
		}
	}
}

func TestBenchCoordinatorPrints(t *testing.T) {
	args := []string{"bench", "coordinator", "--in-process", "--shards", "8", "--ranks", "2",
		"--steps", "2", "--step", "5ms", "--rate", "20", "--duration", "1s", "--kill", "0", "--json"}
	r := longtake(t, args...)
	var got controlplane.Result
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 0 {
		t.Fatalf("code %d, %v: %s%s", r.code, err, r.out, r.err)
	}
	if got.Version != controlplane.ResultVersion || got.Steady.Commands.Count == 0 {
		t.Errorf("got %+v", got)
	}

	var out strings.Builder
	if err := printLoaded(&out, &got, false); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\\u") {
		t.Errorf("columns are escaped:\n%s", out.String())
	}
	for _, want := range []string{"all commands", "P99", "Raft's log", "MEASURE"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
