package mlperf

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/job"
)

// Model is what LoadGen and the checker call the task.
const Model = "wan-2.2-t2v-a14b"

// Scenario is how LoadGen asks: one clip after the other, or for all at once.
type Scenario string

// The scenarios of the task, both of which a submission has.
const (
	SingleStream Scenario = "SingleStream"
	Offline      Scenario = "Offline"
)

// Scenarios lists them.
var Scenarios = []Scenario{SingleStream, Offline}

// Mode is which test of a scenario is run.
type Mode string

// The tests of a scenario: for the times, for the videos that VBench judges, and for caches.
const (
	Performance Mode = "performance"
	Accuracy    Mode = "accuracy"
	TEST04      Mode = "TEST04"
)

// Modes lists them in the order in which they are run.
var Modes = []Mode{Performance, Accuracy, TEST04}

// Rules of v6.1, from loadgen/mlperf.conf, compliance/TEST04/audit.config and
// tools/submission/submission_checker/constants.py of mlcommons/inference as of b66003e1.
const (
	MinDuration = 600 * time.Second // of a performance test
	streamMin   = 64                // clips of SingleStream: the checker's 50, and early stopping's 64
	offlineMin  = prompts.MLPerfCount
	cachedMin   = 20 // of TEST04 of Offline; that of SingleStream is not valid before 64 either
	Seed        = 42 // of each clip's noise, besides the latent that all have in common
)

// Negative is the negative prompt of the task: inference_config.yaml, which diffusers' pipeline
// gets with its line breaks.
const Negative = "vivid colors, overexposed, static, blurry details, subtitles, style,\n" +
	"work of art, painting, picture, still, overall grayish, worst quality,\n" +
	"low quality, JPEG artifacts, ugly, deformed, extra fingers, poorly drawn hands,\n" +
	"poorly drawn face, deformed, disfigured, deformed limbs, fused fingers,\n" +
	"static image, cluttered background, three legs, many people in the background,\n" +
	"walking backwards"

// Task is what is measured: clips of prompts, and how many of them.
type Task struct {
	Prompts prompts.List
	// Clip is the request of every clip, but for its prompt. What it leaves out is the model's.
	Clip job.Request
	// Latent is the BlobID of the file of the latent that all clips begin with; "": they begin with
	// the noise of the seed.
	Latent string
	// KeepsTexts says that embeddings of texts may be remembered from clip to clip. MLPerf lists
	// caches of intermediate results among what a submission has to state that it does not use.
	KeepsTexts bool
	// Count lowers how many clips a test has, also of the accuracy test; 0: as the rules say.
	Count int
	// MinDuration is how long a performance test takes at least.
	MinDuration time.Duration
	// TargetQPS is what LoadGen is told to expect of Offline, in clips a second; 0: its default.
	// It asks for so many clips as that makes in MinDuration, if that is more than the least.
	TargetQPS float64
}

// Rules returns the clip that the rules want.
func Rules() job.Request {
	width, height, frames, steps := 1280, 720, 81, 20
	first, second, seed, rate := 4.0, 3.0, uint64(Seed), job.Rate(16)
	return job.Request{Width: &width, Height: &height, Frames: &frames, FPS: &rate, Steps: &steps,
		GuidanceScale: &first, GuidanceScale2: &second, Seed: &seed, NegativePrompt: Negative}
}

// ruled are the fields that the rules set.
var ruled = []string{"width", "height", "num_frames", "fps", "num_inference_steps",
	"guidance_scale", "guidance_scale_2", "negative_prompt", "seed"}

// Fill returns a request for clips of a model with what it leaves out as the rules want it,
// settled. A model of one transformer has no second scale.
func Fill(r job.Request, m job.Model) (job.Request, error) {
	// Size and seconds say what two of the rules' fields say in another way; both would contradict
	// each other.
	rules := Rules()
	if r.Says("size") || r.Says("width") || r.Says("height") {
		rules.Width, rules.Height = nil, nil
	}
	if r.Says("seconds") {
		rules.Frames = nil
	}
	if !m.Experts.Split() {
		rules.GuidanceScale2 = nil
	}

	for _, name := range ruled {
		f, _ := job.LookupField(name)
		v, ok := f.Get(rules)
		if r.Says(name) || !ok {
			continue
		}
		if err := f.Set(&r, fmt.Sprint(v)); err != nil {
			return r, err
		}
	}
	return r.Settle(m)
}

// total is how many prompts a test of a mode may ask for. An accuracy test asks for each of them
// once.
func (t Task) total(m Mode) int {
	if m == Accuracy && t.Count > 0 {
		return min(t.Count, len(t.Prompts.Prompts))
	}
	return len(t.Prompts.Prompts)
}

// least is how many clips a test has at least.
func (t Task) least(s Scenario, m Mode) int {
	// In each case more clips may be made: LoadGen goes on until the least time is over, too.
	n := streamMin
	switch {
	case s == Offline && m == TEST04:
		n = cachedMin
	case s == Offline:
		n = offlineMin
	}
	if t.Count > 0 {
		n = min(n, t.Count)
	}
	return n
}

// A run that breaks a rule is not refused. Who tries out a cluster wants to see it work in minutes,
// and in the open division other models and sizes are allowed. But no such run should pass for one
// by the rules by mistake, so what differs is told with what it should be.

// Invalid says, a line each, what of a run of a model is not as the rules want it; none: it can be
// a part of a submission.
func (t Task) Invalid(m job.Model) (why []string) {
	note := func(bad bool, format string, args ...any) {
		if bad {
			why = append(why, fmt.Sprintf(format, args...))
		}
	}
	// Of what is measured.
	note(!isTaskModel(m), "the model is %s; the task is for Wan2.2-T2V-A14B", m.Name)
	if err := t.Prompts.MLPerf(); err != nil {
		note(true, "%v", err)
	}

	// Of the clips.
	for _, name := range ruled {
		f, _ := job.LookupField(name)
		got, want := shown(f.Get(t.Clip)), shown(f.Get(Rules()))
		note(got != want, "%s is %.64s; the task has %.64s", name, got, want)
	}
	note(t.Latent == "", "clips begin with the noise of the seed; the task has a fixed latent "+
		"(--latent)")
	note(t.Latent != "" && t.Latent != fixedLatent, "the latent is not the fixed_latent.pt of the "+
		"task")
	note(t.KeepsTexts, "shards remember embeddings of texts, unless all have forget-texts; MLPerf "+
		"wants every query computed")

	// Of the tests.
	note(t.Count > 0 && t.Count < offlineMin, "tests have %d clips at most; SingleStream has %d, "+
		"Offline and the accuracy tests have %d", t.Count, streamMin, offlineMin)
	note(t.MinDuration < MinDuration, "performance tests take %v at least; the task has %v",
		t.MinDuration, MinDuration)
	return why
}

// shown is a value of a field as messages have it.
func shown(v any, said bool) string {
	if !said {
		return "left out"
	}
	return fmt.Sprint(v)
}

// isTaskModel reports whether a model has the form of Wan2.2-T2V-A14B. Its weights are not
// compared: a submission may have converted them.
func isTaskModel(m job.Model) bool {
	return m.Experts == job.Experts{Boundary: 875, First: true, Second: true} && m.Heads == 40 &&
		m.HeadDim == 128 && m.Layers == 40 && m.LatentChannels == 16 && m.SpatialScale == 8 &&
		m.TemporalScale == 4
}

// ParseScenarios reads a list of scenarios, in any order and without regard to case.
func ParseScenarios(list []string) ([]Scenario, error) { return parse("scenario", Scenarios, list) }

// ParseModes reads a list of tests, likewise.
func ParseModes(list []string) ([]Mode, error) { return parse("test", Modes, list) }

// parse finds each of list in all, and returns them in the order of all.
func parse[T ~string](what string, all []T, list []string) (out []T, err error) {
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = string(v)
	}
	allowed := strings.Join(names, ", ")

	wanted := map[T]bool{}
	for _, text := range list {
		i := slices.IndexFunc(all, func(v T) bool { return strings.EqualFold(string(v), text) })
		if i < 0 {
			return nil, fmt.Errorf("--%s is %.64q; allowed: %s", what, text, allowed)
		}
		wanted[all[i]] = true
	}

	// The order of the rules, in which a test that others are compared with comes first.
	for _, v := range all {
		if wanted[v] {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("--%s is empty; allowed: some of %s", what, allowed)
	}
	return out, nil
}
