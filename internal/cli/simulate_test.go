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

// TestSimulateWritesAReport has all that report.md shows, twice into one folder, and no other
// folder.
func TestSimulateWritesAReport(t *testing.T) {
	path, dir := scenarioFile(t, fewClips), filepath.Join(t.TempDir(), "day")
	args := []string{"simulate", path, "--rate", "20/h", "-o", dir}
	if o := longtake(t, args...); o.code != 0 || !strings.Contains(o.out, "report       "+dir) {
		t.Fatalf("%+v", o)
	}
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}

	// Figures say what their axes are in; the second crash has its mark.
	page := files["report.md"]
	for name, want := range map[string]string{"queue.svg": "jobs", "waits.svg": "wait (s)",
		"distribution.svg": "wait (s)", "devices.svg": ">crash<", "commands.svg": "commands (1/s)",
		"log.svg": "log (kB/s)"} {
		if !strings.Contains(files[name], want) || !strings.Contains(page, "]("+name+")") {
			t.Errorf("%s lacks %q, or the page lacks it", name, want)
		}
	}
	var r scenario.Result
	if err := json.Unmarshal([]byte(files["result.json"]), &r); err != nil || len(files) != 8 {
		t.Fatalf("%d files; %v", len(files), err)
	}
	for _, want := range []string{"# Simulation: few\n", r.Log, "| draft | ", "| crash | 2 | ",
		"| of these place | "} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}

	// The same again replaces it: days are the same each time, so nothing is lost. With --json the
	// result stays alone on stdout, for programs that read it.
	again := longtake(t, append(args, "--json")...)
	if again.code != 0 || !strings.HasPrefix(again.out, "{") || strings.Contains(again.out, dir) {
		t.Errorf("%+v", again)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(dir, want string) {
		t.Helper()
		o := longtake(t, "simulate", path, "-o", dir)
		if o.code != 2 || !strings.Contains(o.err, want) || strings.Count(o.err, "\n") != 1 {
			t.Errorf("%+v; want %q", o, want)
		}
	}

	// A benchmark's result has the same name; other files might be anything, and stay as they are.
	write("result.json", `{"schema": 1}`)
	refused(dir, "of another kind, or of another version")
	write("thesis.txt", "")
	refused(dir, `has "thesis.txt"; allowed: a new folder`)
	refused(path, "not a directory")
}

// TestSimulateRefusesWhatCannotBe has one line for each, before anything runs.
func TestSimulateRefusesWhatCannotBe(t *testing.T) {
	path := scenarioFile(t, fewClips)
	wrong := scenarioFile(t, strings.Replace(fewClips, "shards: 4", "shards: 99", 1))
	for want, args := range map[string][]string{
		"takes the file of a scenario":        {"simulate"},
		"is \"nope\"; allowed: day, thousand": {"simulate", "nope", "--example"},
		"clips[0].shards is 99; allowed":      {"simulate", wrong},
		"rate is \"4\"; allowed":              {"simulate", path, "--rate", "4"},
		"comes to 0 requests":                 {"simulate", path, "--rate", "0/h"},
		"device is \"frob\"; allowed":         {"simulate", path, "--pool", "8xfrob"},
		"no such file":                        {"simulate", path + "x"},
		"line 1: name is a list; allowed":     {"simulate", scenarioFile(t, "name: [1]")},
	} {
		o := longtake(t, args...)
		if o.code != 2 || !strings.Contains(o.err, want) || strings.Count(o.err, "\n") != 1 {
			t.Errorf("%v gives %+v; want %q", args, o, want)
		}
	}
	day, err := scenario.Example("day")
	if o := longtake(t, "simulate", "--example"); err != nil || o.code != 0 || o.out != day {
		t.Errorf("the example is %+v; %v", o, err)
	}
	o := longtake(t, "simulate", "--example", "thousand")
	if o.code != 0 || !strings.Contains(o.out, "pool: 128x(8xH100)+ib400") {
		t.Errorf("the example of a thousand is %+v", o)
	}
}
