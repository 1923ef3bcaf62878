package mlperf

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/job"
)

// a14b has the form of the task's model.
func a14b() job.Model {
	return job.Model{Name: "Wan2.2-T2V-A14B-Diffusers", Heads: 40, HeadDim: 128, Layers: 40,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, SpatialScale: 8, TemporalScale: 4,
		Experts:  job.Experts{Boundary: 875, First: true, Second: true},
		Defaults: job.Defaults{Width: 1280, Height: 720, Frames: 81, FPS: 16, Steps: 40}}
}

// TestInvalid wants nothing to be said of a run by the rules, and all of what a trial changes.
func TestInvalid(t *testing.T) {
	clip, err := Fill(job.Request{}, a14b())
	if err != nil {
		t.Fatal(err)
	}
	list := prompts.List{SHA256: prompts.MLPerfSHA256,
		Prompts: make([]prompts.Prompt, prompts.MLPerfCount)}
	task := Task{Prompts: list, Clip: clip, Latent: fixedLatent,
		MinDuration: MinDuration}
	if why := task.Invalid(a14b()); len(why) > 0 {
		t.Errorf("of a run by the rules: %q", why)
	}

	task.Latent = "other"
	if why := strings.Join(task.Invalid(a14b()), ""); why !=
		"the latent is not the fixed_latent.pt of the task" {
		t.Errorf("of another latent: %q", why)
	}
	id, err := BlobID(strings.NewReader("hello\n"), 6)
	if err != nil || id != "ce013625030ba8dba906f756967f9e9ca394464a" { // of git hash-object
		t.Errorf("%s, %v", id, err)
	}

	demo := job.Model{Name: "demo", TemporalScale: 4, Patch: [3]int{1, 2, 2},
		Defaults: job.Defaults{Frames: 33, FPS: 16}}
	steps := 2
	small, err := Fill(job.Request{Size: "96x64", Steps: &steps}, demo)
	if err != nil || *small.Frames != 81 || *small.Seed != Seed || small.GuidanceScale2 != nil {
		t.Fatalf("%+v, %v", small, err)
	}
	mine := Task{Prompts: prompts.List{Name: "mine"}, Clip: small, Count: 5}
	why := strings.Join(mine.Invalid(demo), "\n")
	for _, want := range []string{"the model is demo", "mine has 0 prompts",
		"width is 96; the task has 1280", "height is 64",
		"num_inference_steps is 2; the task has 20", "guidance_scale_2 is left out",
		"fixed latent", "5 clips at most", "0s at least"} {
		if !strings.Contains(why, want) {
			t.Errorf("no %q in\n%s", want, why)
		}
	}
	if strings.Contains(why, "negative_prompt") || strings.Contains(why, "num_frames") {
		t.Errorf("of what is as it should be:\n%s", why)
	}
}

// TestLeast wants the counts of the rules, and those of a trial below them.
func TestLeast(t *testing.T) {
	full, trial := Task{}, Task{Count: 70}
	trial.Prompts.Prompts = make([]prompts.Prompt, 248)
	for _, c := range []struct {
		task Task
		s    Scenario
		m    Mode
		want int
	}{{full, SingleStream, Performance, 64}, {full, Offline, Performance, 248},
		{full, Offline, TEST04, 20}, {trial, Offline, Performance, 70},
		{trial, SingleStream, Performance, 64}, {trial, SingleStream, TEST04, 64}} {
		if got := c.task.least(c.s, c.m); got != c.want {
			t.Errorf("%s, %s: %d, want %d", c.s, c.m, got, c.want)
		}
	}
	if trial.total(Accuracy) != 70 || trial.total(Performance) != 248 {
		t.Errorf("%d, %d samples", trial.total(Accuracy), trial.total(Performance))
	}
}

// TestSubmission wants the folders and files of the checker, and that edited ones stay.
func TestSubmission(t *testing.T) {
	s := Submission{Root: t.TempDir(), Division: "open", Submitter: "me", System: "box",
		Model: job.Model{Name: "my model/1"}}
	empty, err := s.Write(Scenarios, Task{}, map[string]any{"cooling": "air"})
	if err != nil || !slices.Contains(empty, "host_memory_capacity") ||
		slices.Contains(empty, "cooling") {
		t.Fatal(empty, err)
	}
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(s.Root, "open", "me", path))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}

	var system map[string]any
	if err := json.Unmarshal([]byte(read("systems/box.json")), &system); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(systemFields, spareFields) {
		if _, ok := system[name]; !ok {
			t.Errorf("the system has no %s", name)
		}
	}
	if got := read("model_mapping.json"); !strings.Contains(got, `"my-model-1": "wan-2.2-t2v-a14b"`) {
		t.Errorf("the mapping is %s", got)
	}
	dir := "results/box/my-model-1/Offline"
	if s.Logs(Offline, Performance) != filepath.Join(s.Root, "open/me", dir, "performance/run_1") ||
		!strings.Contains(read(dir+"/measurements.json"), "weight_data_types") {
		t.Error(s.Logs(Offline, Performance))
	}

	conf := filepath.Join(s.Root, "open/me", dir, "user.conf")
	if err := os.WriteFile(conf, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(Scenarios, Task{}, nil); err != nil || read(dir+"/user.conf") != "mine" {
		t.Errorf("%q, %v", read(dir+"/user.conf"), err)
	}
	if s.Model.Name = ".."; s.benchmark() != "model" {
		t.Errorf("a model called .. has the folder %s", s.benchmark())
	}
	s.Division, s.Model = "closed", a14b()
	if s.benchmark() != Model || s.CheckNames() != nil {
		t.Error(s.benchmark(), s.CheckNames())
	}
	s.Submitter = "../me"
	if err := s.CheckNames(); err == nil {
		t.Error("a submitter that leaves the folder is taken")
	}
}

// TestReadResult reads what LoadGen 6.0.17 writes.
func TestReadResult(t *testing.T) {
	test := Test{Scenario: SingleStream, Mode: Performance, Dir: t.TempDir()}
	text := "Scenario : SingleStream\n90.0th percentile latency (ns) : 146400000\n" +
		"Result is : INVALID\n  Early stopping satisfied: NO\n\n" +
		"2 ERRORS encountered. See detailed log.\n"
	path := filepath.Join(test.Dir, "mlperf_log_summary.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := ReadResult(test)
	if err != nil || r.Valid || r.Seconds != 0.1464 || r.Errors != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestVideos wants names that VBench finds, and those of prompts that are no names refused.
func TestVideos(t *testing.T) {
	list, err := prompts.Parse("list", []byte("a cat\n../a dog\n"))
	if err != nil {
		t.Fatal(err)
	}
	task := Task{Prompts: list}
	if got, err := task.Video("v", 0); err != nil || got != filepath.Join("v", "a cat-0.mp4") {
		t.Error(got, err)
	}
	if got, err := task.Video("v", 1); err == nil {
		t.Errorf("a prompt that leaves the folder becomes %s", got)
	}
}
