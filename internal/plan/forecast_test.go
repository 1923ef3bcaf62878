package plan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// costly is the demo's shape: 256 wide, 8 layers.
func costly() job.Model {
	m := model()
	m.Heads, m.HeadDim, m.Layers = 8, 32, 8
	m.Cost = job.Cost{FFNDim: 896, Decode: 1e6, Pixels: 112 * 64, Memory: job.Memory{
		Weights:   map[string]int64{"fp32": 40 << 20, "bf16": 24 << 20},
		TextToken: 17408, Pass: 1 << 20, PassToken: 11400, PassShared: 4096, DecodeBand: 120448,
		DecodeRows: 3}}
	return m
}

// clipOf resolves a request of a size.
func clipOf(t *testing.T, m job.Model, width, height, frames, steps int) job.Spec {
	t.Helper()
	s, err := m.Resolve(job.Request{Prompt: "a", Width: &width, Height: &height, Frames: &frames,
		Steps: &steps}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCheckLimits refuses what takes too much, and lets what only takes long, or is far beyond the model's
// sizes, pass where the client insists.
func TestCheckLimits(t *testing.T) {
	m := costly()
	two := []Offer{{Speed: 1e11, Memory: 4 << 30}, {Speed: 2e11, Memory: 4 << 30}}
	day := Limits{Time: 24 * time.Hour, Tokens: 1 << 25}
	for name, c := range map[string]struct {
		width, height, frames, steps int
		offers                       []Offer
		limits                       Limits
		field                        string // "": taken
		forced                       bool   // taken with force
		text                         string
	}{
		"the model's own size": {112, 64, 33, 30, two, day, "", true, ""},
		"twice as wide":        {224, 128, 33, 30, two, day, "", true, ""},
		"far beyond":           {1280, 720, 5, 30, two, day, "size", true, "129 times"},
		"far beyond, and long": {1280, 720, 33, 30, two, day, "size", true, "predicted to take"},
		"far beyond, speed unknown": {1280, 720, 5, 30, make([]Offer, 2), day, "size", true,
			"made for; allowed"},
		"no shards":        {224, 128, 33, 1000, nil, day, "", true, ""},
		"speed unknown":    {224, 128, 33, 1000, make([]Offer, 2), day, "", true, ""},
		"too slow":         {224, 128, 33, 1000, []Offer{{Speed: 1e7}}, day, "request", true, "1 shard"},
		"one of unknown":   {224, 128, 33, 1000, []Offer{{Speed: 1e7}, {}}, day, "", true, ""},
		"slow, no limit":   {224, 128, 33, 1000, []Offer{{Speed: 1e7}}, Limits{Time: -1}, "", true, ""},
		"limit of seconds": {112, 64, 33, 30, two, Limits{Time: time.Second}, "request", true, "1 second "},
		"too many tokens": {224, 128, 33, 30, two, Limits{Tokens: 1000}, "num_frames x size",
			false, "limits.request-tokens"},
		"no memory": {224, 128, 33, 30, []Offer{{1e11, 8 << 30}, {1e11, 1 << 20}}, day,
			"num_frames x size", false, "up to 1.0 MB"},
		"the largest clip that can be asked for": {4096, 4096, 33, 30, two, day, "num_frames x size",
			false, "GB of memory on each"},
	} {
		t.Run(name, func(t *testing.T) {
			s := clipOf(t, m, c.width, c.height, c.frames, c.steps)
			err := CheckLimits(m, s, c.offers, c.limits, false)
			var f *job.FieldError
			if errors.As(err, &f) != (c.field != "") || f != nil && f.Field != c.field {
				t.Fatalf("refused with %v, want field %q", err, c.field)
			}
			if err != nil && (!strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%v does not say %q", err, c.text)
			}
			if err := CheckLimits(m, s, c.offers, c.limits, true); (err == nil) != c.forced {
				t.Errorf("with force: %v", err)
			}
		})
	}
}

// TestForecastGrowsWithTheClip wants twice the steps to take twice as long, half of the shards about
// twice, and twice the pixels more than that.
func TestForecastGrowsWithTheClip(t *testing.T) {
	m := costly()
	m.Cost.Decode = 0
	offers := []Offer{{Speed: 1e11}, {Speed: 1e11}}
	of := func(width, steps int, offers []Offer) time.Duration {
		return Predict(m, clipOf(t, m, width, 64, 33, steps), offers).Time
	}
	one := of(128, 30, offers)
	for name, c := range map[string]struct {
		took        time.Duration
		least, most float64
	}{
		"steps":  {of(128, 60, offers), 1.99, 2.01},
		"shards": {of(128, 30, offers[:1]), 1.99, 2.01},
		"pixels": {of(256, 30, offers), 2.01, 4},
	} {
		if r := float64(c.took) / float64(one); r < c.least || r > c.most {
			t.Errorf("twice the %s take %.2f times as long", name, r)
		}
	}
}

func TestAbout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second: "1 second", 45300 * time.Millisecond: "45.3 seconds", 3 * time.Minute: "3 minutes",
		90 * time.Minute: "90 minutes", 5*time.Hour + 24*time.Minute: "5.4 hours", 24 * time.Hour: "24 hours",
		100 * 24 * time.Hour: "100 days",
	} {
		if got := About(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
