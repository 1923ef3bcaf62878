package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/sim/scenario"
)

// scenarioFile writes a scenario of a few clips.
func scenarioFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "day.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const fewClips = "name: few\nduration: 30m\ncluster: {pool: 8xH100, models: [Wan2.1-T2V-1.3B]}\n" +
	"arrivals: {rate: 30/h}\nclips: [{name: draft, size: 832x480, shards: 4, objective: 5m}]\n" +
	"faults: [{kind: crash, count: 2, for: 2m}]\n"

// TestSimulateShowsADay runs a scenario twice, as a table and as JSON.
func TestSimulateShowsADay(t *testing.T) {
	path := scenarioFile(t, fewClips)
	table := longtake(t, "simulate", path, "--pool", "2x(4xL40S)+ib")
	for _, want := range []string{"few: 2x(4xL40S)+ib (8 devices on 2 hosts), 0.5 h of requests",
		"CLIPS", "draft", "% of 5m0s", "goodput", "device-hours 4.", "commands/s", "sha256 "} {
		if table.code != 0 || !strings.Contains(table.out, want) {
			t.Errorf("the table lacks %q: %+v", want, table)
		}
	}

	var r, other scenario.Result
	for seed, into := range map[string]*scenario.Result{"1": &r, "2": &other} {
		o := longtake(t, "simulate", path, "--json", "--seed", seed, "--rate", "60/h")
		if err := json.Unmarshal([]byte(o.out), into); err != nil {
			t.Fatalf("%v: %+v", err, o)
		}
	}
	if r.Version != scenario.Version || r.All.Asked < 15 || r.All.Completed != r.All.Asked ||
		r.Devices != 8 || len(r.Series) < 288 || r.Log == other.Log {
		t.Errorf("%+v", r)
	}
}

// TestSimulateRefusesWhatCannotBe has one line for each, before anything runs.
func TestSimulateRefusesWhatCannotBe(t *testing.T) {
	path := scenarioFile(t, fewClips)
	wrong := scenarioFile(t, strings.Replace(fewClips, "shards: 4", "shards: 99", 1))
	for want, args := range map[string][]string{
		"takes the file of a scenario":   {"simulate"},
		"or --example":                   {"simulate", path, "--example"},
		"clips[0].shards is 99; allowed": {"simulate", wrong},
		"rate is \"4\"; allowed":         {"simulate", path, "--rate", "4"},
		"device is \"frob\"; allowed":    {"simulate", path, "--pool", "8xfrob"},
		"no such file":                   {"simulate", path + "x"},
		"line 1: cannot unmarshal":       {"simulate", scenarioFile(t, "name: [1]")},
	} {
		o := longtake(t, args...)
		if o.code != 2 || !strings.Contains(o.err, want) || strings.Count(o.err, "\n") != 1 {
			t.Errorf("%v gives %+v; want %q", args, o, want)
		}
	}
	if o := longtake(t, "simulate", "--example"); o.code != 0 || o.out != scenario.Example {
		t.Errorf("the example is %+v", o)
	}
}
