package rollout

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
)

// used are specs that use one feature each.
var used = map[string]job.Spec{
	"control":          {Inputs: []job.Input{{Role: job.RoleMask}}},
	"dtype:bf16":       {DType: "bf16"},
	"dtype:fp8":        {DType: "fp8"},
	"edit":             {Inputs: []job.Input{{Role: job.RoleVideo}}},
	"extend":           {Inputs: []job.Input{{Role: job.RoleStart, Kind: job.KindLatents}}},
	"format:mp4":       {Format: "mp4"},
	"format:png":       {Format: "png"},
	"image":            {Inputs: []job.Input{{Role: job.RoleStart, Kind: job.KindImage}}},
	"latent":           {Inputs: []job.Input{{Role: job.RoleLatent}}},
	"long:causal":      {Long: job.LongCausal},
	"long:extend":      {Long: job.LongExtend},
	"long:windows":     {Long: job.LongWindows},
	"lora":             {LoRAs: make([]job.LoRA, 1)},
	"preset":           {Preset: "x"},
	"priority":         {Priority: 1},
	"sparse-attention": {SparseAttention: "radial"},
	"step-cache":       {StepCache: 0.1},
	"storyboard":       {Scenes: make([]job.Scene, 2)},
}

// TestEveryFeatureCanBeUsed wants every feature to be read off a spec that uses it, and no other.
func TestEveryFeatureCanBeUsed(t *testing.T) {
	for _, f := range Features {
		s, ok := used[f.Name]
		s.Model = "m"
		if names, fields := Uses(s); !ok || !slices.Equal(names, []string{"model:m", f.Name}) ||
			fields[1] != f.Field {
			t.Errorf("%s: a spec that uses it is read as %v", f.Name, names)
		}
	}
	plain := job.Spec{DType: "fp32", Format: "webm", SparseAttention: "off"}
	if names, _ := Uses(plain); len(names) != 1 {
		t.Errorf("a plain clip uses %v", names)
	}
	if !slices.IsSorted(Names()) {
		t.Error("the features are not sorted")
	}
}

// TestBucketsAreStable holds what decides who is let in: it must not change with a version.
func TestBucketsAreStable(t *testing.T) {
	f := func(name, owner string, want int) {
		t.Helper()
		if got := Bucket(name, owner); got != want {
			t.Errorf("Bucket(%q, %q) = %d, want %d", name, owner, got, want)
		}
	}
	f("model:wan2.2", "key_a", 3735)
	f("model:wan2.2", "key_b", 8238)
	f("lora", "key_a", 662)
	f("lora", "oidc_0a", 7864)
}

// TestPercentages counts who is let in of 10,000 owners.
func TestPercentages(t *testing.T) {
	for _, percent := range []float64{0, 0.5, 1, 10, 33.33, 50, 99, 100} {
		r, n := Rule{Name: "lora", Percent: percent}, 0
		for i := range 10_000 {
			if ok, _ := r.Allows(Who{Owner: fmt.Sprintf("key_%d", i)}); ok {
				n++
			}
		}
		if got := float64(n) / 100; math.Abs(got-percent) > 1 {
			t.Errorf("%v %% lets %v %% in", percent, got)
		}
	}
}

// TestRaisingTakesNothingAway raises a percentage: whoever had the feature keeps it.
func TestRaisingTakesNothingAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Who{Owner: rapid.StringMatching(`key_[a-z0-9]{1,8}`).Draw(t, "owner")}
		low := float64(rapid.IntRange(0, 10000).Draw(t, "low")) / 100
		high := float64(rapid.IntRange(int(low*100), 10000).Draw(t, "high")) / 100
		before, _ := Rule{Name: "lora", Percent: low}.Allows(w)
		after, why := Rule{Name: "lora", Percent: high}.Allows(w)
		if before && !after {
			t.Fatalf("at %v %% yes, at %v %% no: %s", low, high, why)
		}
	})
}

func TestRules(t *testing.T) {
	f := func(r Rule, w Who, ok bool, want string) {
		t.Helper()
		r.Name = "lora"
		if got, why := r.Allows(w); got != ok || !strings.Contains(why, want) {
			t.Errorf("%+v for %+v: %v, %q; want %v, %q", r, w, got, why, ok, want)
		}
	}
	ann := Who{Owner: "key_a", Name: "ann", Team: "red"}
	f(Rule{}, ann, false, "listed keys and teams only")
	f(Rule{Percent: 100}, ann, true, "all")
	f(Rule{Percent: 100, Deny: []string{"red"}}, ann, false, "denied to red")
	f(Rule{Keys: []string{"ann"}, Deny: []string{"key_a"}}, ann, false, "denied")
	f(Rule{Keys: []string{"ann"}}, ann, true, "open to ann")
	f(Rule{Keys: []string{"key_a"}}, ann, true, "open to key_a")
	f(Rule{Keys: []string{"red"}}, ann, true, "open to red")
	f(Rule{Keys: []string{"bob"}}, ann, false, "")
	f(Rule{}, Who{Owner: "key_r", Admin: true}, true, "administrator")
	f(Rule{Percent: 99.99}, Who{}, false, "not among them")
	f(Rule{Percent: 100}, Who{}, true, "")
	// Whoever signs in can choose a name, but not that of a key.
	f(Rule{Keys: []string{"ann"}}, Who{Owner: "oidc_1", Name: "ann"}, false, "")
}

func TestCheck(t *testing.T) {
	rules := map[string]Rule{"model:m": {Name: "model:m", Keys: []string{"red"}},
		"format:mp4": {Name: "format:mp4", Deny: []string{"key_a"}, Percent: 100}}
	ann, s := Who{Owner: "key_a", Name: "ann", Team: "red"}, job.Spec{Model: "m", Format: "webm"}
	if err := Check(rules, ann, s); err != nil {
		t.Error(err)
	}
	var e *Error
	s.Format = "mp4"
	if err := Check(rules, ann, s); !errors.As(err, &e) || e.Name != "format:mp4" ||
		e.Field != "format" || !strings.Contains(err.Error(), "not rolled out to ann") {
		t.Errorf("%v", err)
	}
	if err := Check(rules, Who{Owner: "key_b"}, s); !errors.As(err, &e) || e.Field != "model" {
		t.Errorf("%v", err)
	}
	if err := Check(rules, Who{Admin: true}, s); err != nil {
		t.Error(err)
	}
}

func TestWrongRules(t *testing.T) {
	many := make([]string, listMax+1)
	for _, r := range []Rule{{}, {Name: strings.Repeat("x", 257)}, {Name: "a", Percent: -1},
		{Name: "a", Percent: 100.5}, {Name: "a", Percent: 0.001}, {Name: "a", Percent: math.NaN()},
		{Name: "a", Keys: []string{""}}, {Name: "a", Deny: many}, {Name: "\xff"}} {
		var field *job.FieldError
		if err := r.Check(); !errors.As(err, &field) {
			t.Errorf("%.80v: %v", r, err)
		}
	}
	if err := (Rule{Name: "a", Percent: 33.33, Keys: []string{"x"}}).Check(); err != nil {
		t.Error(err)
	}
}

func TestResolve(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if got, err := Resolve(name, []string{"wan2.2"}); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", name, got, err, want)
		}
	}
	f("wan2.2", "model:wan2.2")
	f("model:later", "model:later")
	f("lora", "lora")
	f("loras", "")
	f("model:", "")
}
