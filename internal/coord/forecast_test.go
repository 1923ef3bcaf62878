package coord

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// costly is the demo's shape: 256 wide, 8 layers.
func costly() job.Model {
	m := demo()
	m.Heads, m.HeadDim, m.Layers = 8, 32, 8
	m.Cost = job.Cost{FFNDim: 896, Decode: 1e6, Pixels: 112 * 64}
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

// TestJudge refuses what takes too much, and lets what only takes long, or is far beyond the model's
// sizes, pass where the client insists.
func TestJudge(t *testing.T) {
	m := costly()
	two := []Offer{{Speed: 1e11, Memory: 4 << 30}, {Speed: 2e11, Memory: 4 << 30}}
	day := Limits{RequestTime: 24 * time.Hour, RequestTokens: 1 << 25}
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
		"slow, no limit":   {224, 128, 33, 1000, []Offer{{Speed: 1e7}}, Limits{RequestTime: -1}, "", true, ""},
		"limit of seconds": {112, 64, 33, 30, two, Limits{RequestTime: time.Second}, "request", true, "1 second "},
		"too many tokens": {224, 128, 33, 30, two, Limits{RequestTokens: 1000}, "num_frames x size",
			false, "limits.request-tokens"},
		"no memory": {224, 128, 33, 30, []Offer{{1e11, 8 << 30}, {1e11, 1 << 20}}, day,
			"num_frames x size", false, "up to 1.0 MB"},
		"the largest clip that can be asked for": {4096, 4096, 33, 30, two, day, "num_frames x size",
			false, "GB of memory on each"},
	} {
		t.Run(name, func(t *testing.T) {
			s := clipOf(t, m, c.width, c.height, c.frames, c.steps)
			err := Judge(m, s, c.offers, c.limits, false)
			var f *job.FieldError
			if errors.As(err, &f) != (c.field != "") || f != nil && f.Field != c.field {
				t.Fatalf("refused with %v, want field %q", err, c.field)
			}
			if err != nil && (!strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%v does not say %q", err, c.text)
			}
			if err := Judge(m, s, c.offers, c.limits, true); (err == nil) != c.forced {
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
		return Foresee(m, clipOf(t, m, width, 64, 33, steps), offers).Time
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

// TestCreateForesees refuses a clip by the speed that a shard registered with, and takes the same one
// where the client insists, or has it already.
func TestCreateForesees(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Limits.RequestTime = time.Hour
	c := start(t, cfg)
	fake(t, c, "a", func(r *wire.Registration) { r.Model, r.Speed = costly(), 1e6 })
	r := request(1)
	var f *job.FieldError
	if _, err := c.Create(t.Context(), r); !errors.As(err, &f) || f.Field != "request" {
		t.Fatalf("refused with %v", err)
	}
	seed := uint64(1)
	r.Key, r.Force, r.Seed = "k", true, &seed
	first, err := c.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Force = false
	if again, err := c.Create(t.Context(), r); err != nil || again.ID != first.ID {
		t.Errorf("a repeat gives %s: %v", again.ID, err)
	}
	if n, err := c.Nodes(t.Context()); err != nil || n[0].Speed != 1e6 {
		t.Errorf("nodes %+v: %v", n, err)
	}
}

// TestANodeThatStopsSaysSo cancels a job whose rank takes its time.
func TestANodeThatStopsSaysSo(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	a.told()
	if _, err := c.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Nodes(t.Context()); err != nil || n[0].State != "stopping" {
		t.Errorf("nodes %+v: %v", n, err)
	}
}

// TestADrainOfANodeThatLeavesIsDone answers with what was known of it.
func TestADrainOfANodeThatLeavesIsDone(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a")
	l := c.lead.Load()
	n, err := l.find("name-a")
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.remove("a", "was shut down")
	l.mu.Unlock()
	if n, err = l.after(n); err != nil || n.State != "gone" || n.Name != "name-a" {
		t.Errorf("%+v, %v", n, err)
	}
}
