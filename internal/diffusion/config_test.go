package diffusion

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

// wan21 is the config Wan-AI/Wan2.1-T2V-1.3B-Diffusers was published with.
const wan21 = `{
  "_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.33.0.dev0",
  "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001, "disable_corrector": [],
  "dynamic_thresholding_ratio": 0.995, "final_sigmas_type": "zero", "flow_shift": 3.0,
  "lower_order_final": true, "num_train_timesteps": 1000, "predict_x0": true,
  "prediction_type": "flow_prediction", "rescale_betas_zero_snr": false, "sample_max_value": 1.0,
  "solver_order": 2, "solver_p": null, "solver_type": "bh2", "steps_offset": 0,
  "thresholding": false, "timestep_spacing": "linspace", "trained_betas": null,
  "use_beta_sigmas": false, "use_exponential_sigmas": false, "use_flow_sigmas": true,
  "use_karras_sigmas": false
}`

// uniPCWith returns a UniPC config of the required keys and more.
func uniPCWith(more string) string {
	return `{"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction",
		"use_flow_sigmas": true` + more + `}`
}

func eulerWith(more string) string {
	return `{"_class_name": "FlowMatchEulerDiscreteScheduler"` + more + `}`
}

func readFile(t testing.TB, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(golden.Root(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseSchedulerConfig(t *testing.T) {
	unipc := SchedulerConfig{Class: ClassUniPC, FlowShift: 3, TrainTimesteps: 1000, SolverOrder: 2}
	other := SchedulerConfig{Class: ClassUniPC, FlowShift: 1, TrainTimesteps: 9, SolverOrder: 3,
		DisableCorrector: []int{0, 4}}
	cases := []struct {
		name, text, kind string
		want             SchedulerConfig
	}{
		{"Wan 2.1", wan21, KindUniPC, unipc},
		{"demo", readFile(t, "models", "demo", "scheduler", "scheduler_config.json"), KindUniPC,
			unipc},
		{"tiny3", readFile(t, "testdata", "golden", "tiny3", "scheduler", "scheduler_config.json"),
			KindEuler, SchedulerConfig{Class: ClassEuler, FlowShift: 5, TrainTimesteps: 1000}},
		{"defaults", eulerWith(""), KindEuler,
			SchedulerConfig{Class: ClassEuler, FlowShift: 1, TrainTimesteps: 1000}},
		{"settings", uniPCWith(`, "solver_order": 3, "disable_corrector": [0, 4],
			"num_train_timesteps": 9, "timestep_spacing": "trailing", "_note": [1]`),
			KindUniPC, other},
	}
	for _, c := range cases {
		got, err := ParseSchedulerConfig([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !reflect.DeepEqual(got, c.want) || got.Kind() != c.kind {
			t.Errorf("%s: %+v of kind %q, want %+v", c.name, got, got.Kind(), c.want)
		}
	}
}

// TestKeysOfAnotherClass wants them left out: diffusers writes those of the class that a scheduler
// was made from, and warns of all others.
func TestKeysOfAnotherClass(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{uniPCWith(`, "rescale_zero_terminal_snr": true`), []string{"rescale_zero_terminal_snr true"}},
		{uniPCWith(`, "rescale_zero_terminal_snr": false, "invert_sigmas": null`), nil},
		{uniPCWith(`, "shift": 3, "base_shift": 0.5`), []string{"base_shift 0.5", "shift 3"}},
		{eulerWith(`, "flow_shift": 3.0, "solver_type": "bh2", "trained_betas": null`),
			[]string{"flow_shift 3", `solver_type "bh2"`}},
	} {
		got, err := ParseSchedulerConfig([]byte(c.text))
		if err != nil || !reflect.DeepEqual(got.Ignored, c.want) || got.FlowShift != 1 {
			t.Errorf("%s: %v; left out %q, want %q", c.text, err, got.Ignored, c.want)
		}
	}
	if c, err := ParseSchedulerConfig([]byte(uniPCWith(`, "thresholding": null`))); err != nil ||
		c.Ignored != nil {
		t.Errorf("null in place of false: %v", err)
	}
}

func TestParseSchedulerConfigErrors(t *testing.T) {
	cases := []struct{ text, want string }{
		{``, "cannot read the scheduler config: unexpected end of JSON input"},
		{`[]`, "cannot unmarshal array"},
		{`null`, "_class_name is null; allowed:"},
		{`{"_class_name": "DDIMScheduler"}`, `_class_name is "DDIMScheduler"; allowed: ` +
			`"UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler"`},
		{`{"_class_name": 3}`, "_class_name is 3"},
		{`{"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true}`,
			`prediction_type is missing; allowed: "flow_prediction"`},
		{`{"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction"}`,
			`use_flow_sigmas is missing; allowed: true`},
		{uniPCWith(`, "solver_order": 4`), "solver_order is 4; allowed: 1, 2, 3"},
		{uniPCWith(`, "solver_order": 1.5`), "solver_order is 1.5"},
		{uniPCWith(`, "solver_type": "bh1"`), `solver_type is "bh1"; allowed: "bh2"`},
		{uniPCWith(`, "flow_shift": 0`), "flow_shift is 0; allowed: a number above 0, up to 100"},
		{eulerWith(`, "shift": 101`), "shift is 101; allowed: a number above 0, up to 100"},
		{eulerWith(`, "shift": null`), "shift is null"},
		{uniPCWith(`, "disable_corrector": [-1]`), "disable_corrector is [-1]; allowed: a list of"},
		{uniPCWith(`, "disable_corrector": null`), "disable_corrector is null"},
		{uniPCWith(`, "num_train_timesteps": 0`), "num_train_timesteps is 0; allowed: a whole"},
		{uniPCWith(`, "thresholding": true`), "thresholding is true; allowed: false"},
		{uniPCWith(`, "thresholding": 0`), "thresholding is 0; allowed: false"},
		{uniPCWith(`, "solver_p": {"a": 1}`), `solver_p is {"a":1}; allowed: null`},
		{uniPCWith(`, "trained_betas": [` + strings.Repeat("0.5,", 99) + `1]`),
			"...; allowed: null"},
		{uniPCWith(`, "lower_order_final": false`), "lower_order_final is false; allowed: true"},
		{uniPCWith(`, "final_sigmas_type": "sigma_min"`), `allowed: "zero"`},
		{uniPCWith(`, "use_karras_sigmas": true`), "use_karras_sigmas is true; allowed: false"},
		{uniPCWith(`, "shift_terminal": 0.1`), "shift_terminal is 0.1; allowed: null"},
		{uniPCWith(`, "beta_start": "x"`), `beta_start is "x"; allowed: a number`},
		{uniPCWith(`, "rescale_betas_zero_snr": 1`), "allowed: true or false"},
		{eulerWith(`, "stochastic_sampling": true`), "stochastic_sampling is true; allowed: false"},
		{eulerWith(`, "time_shift_type": "cubic"`), `allowed: "exponential", "linear"`},
		{eulerWith(`} x`), "invalid character"},
	}
	for _, c := range cases {
		_, err := ParseSchedulerConfig([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestOtherKind(t *testing.T) {
	text := eulerWith(`, "num_train_timesteps": 500, "shift": 5`)
	euler, err := ParseSchedulerConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := SchedulerConfig{Class: ClassUniPC, FlowShift: 1, TrainTimesteps: 500, SolverOrder: 2}
	if got := euler.as(KindUniPC); !reflect.DeepEqual(got, want) {
		t.Errorf("as UniPC: %+v, want %+v", got, want)
	}
	s, err := NewScheduler(KindUniPC, 6, 12, euler)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Timesteps()[5]; got != 354 {
		t.Errorf("the last timestep is %v, want 354", got)
	}
}

func FuzzParseSchedulerConfig(f *testing.F) {
	f.Add([]byte(wan21))
	f.Add([]byte(eulerWith(`, "shift": 5.0, "max_shift": null`)))
	f.Add([]byte(uniPCWith(`, "disable_corrector": [0, 1], "solver_order": 3`)))
	f.Add([]byte(uniPCWith(`, "solver_order": 1e400`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseSchedulerConfig(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of more than a line: %q", err)
			}
			return
		}
		if !json.Valid(data) || c.Kind() == "" {
			t.Errorf("accepted %q as %+v", data, c)
		}
		for _, kind := range []string{KindUniPC, KindEuler} {
			if _, err := NewScheduler(kind, 1, c.FlowShift, c); err != nil {
				t.Errorf("%+v parses but gives no %s scheduler: %v", c, kind, err)
			}
		}
	})
}
