package topology

import (
	"math"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/partition"
)

// two is a clip on two sites of a host, whose parts are easy to count: 16 tokens, 2 heads of 4 in 3
// layers, one pass.
func two() (Work, partition.Mesh, []Site) {
	grid := partition.Grid{T: 4, H: 2, W: 2, PT: 1, PH: 1, PW: 1}
	w := Work{Load: partition.Load{Timeline: grid.Timeline(0, 0, false), Heads: 2,
		HeadDim: 4, Layers: 3, TokenWidth: 4}, Linear: 1000, Attention: 600, Projection: 100}
	site := Site{Host: "a", Speed: 100, Rates: Rates{Host: 256}}
	return w, partition.Mesh{CFG: 1, Ulysses: 2}, []Site{site, site}
}

// TestSpeedsOfTheirOwn counts steps whose attention is faster than products, whose passes take
// something else, whose messages take a while, and of programs that hide less or pass keys around.
func TestSpeedsOfTheirOwn(t *testing.T) {
	// Each rank sends 4 · 8 tokens · 1 head · 4 values · 3 layers · 4 bytes = 1,536 bytes
	// in 6 s, of which products hide up to half (2 · 100/2/100 = 1 s), attention an eighth
	// (0.75 s).
	const products, attention, sent = 5.0, 3.0, 6.0
	for name, c := range map[string]struct {
		change func(w *Work, s *Site)
		want   float64
	}{
		"one speed": {func(*Work, *Site) {}, products + attention + sent - 1 - 0.75},
		"attention": {func(_ *Work, s *Site) { s.Attention = 300 },
			products + attention/3 + sent - 1 - 0.5},
		"passes": {func(_ *Work, s *Site) { s.Pass = 7 }, products + attention + sent - 1.75 + 7},
		// Of 7 s the 2 in which kernels are issued hide a fifth as long products: 0.4 s.
		"idle": {func(_ *Work, s *Site) { s.Pass, s.Idle = 7, 2 },
			products + attention + sent - 1.4 - 0.75 + 7},
		"idle ring": {func(w *Work, s *Site) { w.Ring, s.Pass, s.Idle = true, 7, 2 },
			products + attention + sent - attention - 2 + 7},
		"delays": {func(_ *Work, s *Site) { s.Delays.Host = 0.5 },
			products + attention + sent - 1.75 + 2*3*0.5},
		"other delays": {func(_ *Work, s *Site) { s.Delays.Net = 9 },
			products + attention + sent - 1.75},
		"nothing hidden": {func(w *Work, _ *Site) { w.Waits = true },
			products + attention + sent},
		// Keys and values of 8 tokens and both heads: 2 · 8 · 2 · 4 · 3 · 4 = 1,536 bytes.
		"ring": {func(w *Work, _ *Site) { w.Ring = true }, products + attention + sent - attention},
	} {
		w, mesh, sites := two()
		for i := range sites {
			c.change(&w, &sites[i])
		}
		c.change(&w, &Site{})
		if got := Predict(w, mesh, sites).Time; math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v s; want %v", name, got, c.want)
		}
	}
}

// TestHostsShareWhatIsMeasured gives single sites of two hosts delays: all of a host have the least
// of them, what is farther away takes no less, and what is within a process is its own.
func TestHostsShareWhatIsMeasured(t *testing.T) {
	at := func(host string, d Delays) Site { return Site{Host: host, Speed: 1, Delays: d} }
	g := survey([]Site{at("a", Delays{}), at("a", Delays{Net: 2e-3}), at("b", Delays{Host: 1e-3}),
		at("a", Delays{Process: 1e-6, Net: 3e-3}), at("", Delays{})})
	near := Delays{Net: 2e-3, Far: 2e-3}
	want := []Delays{near, near, {Host: 1e-3, Net: 1e-3, Far: 1e-3}, near.With(Process, 1e-6), {}}
	if !slices.Equal(g.delays, want) {
		t.Errorf("%+v; want %+v", g.delays, want)
	}
	if got := g.delay([]int{0, 2}); got != 2e-3 {
		t.Errorf("%v s between the hosts", got)
	}
	if g := survey(make([]Site, 3)); g.delays != nil {
		t.Errorf("delays of nothing: %v", g.delays)
	}
}

// TestDelaysAreRounded: equal links have equal delays, those of others differ, and what is too
// short is none.
func TestDelaysAreRounded(t *testing.T) {
	got := Delays{Process: 1.9e-5, Host: 1.01e-4, Net: 1.03e-4, Far: 1e-2}.Rounded()
	off := got.Far/1e-2 - 1
	if got.Process != 0 || got.Host != got.Net || math.Abs(off) > 0.13 ||
		got.Rounded() != got || (Delays{Net: 1.3e-4}.Rounded().Net) == got.Net {
		t.Errorf("rounded to %+v", got)
	}
}

// TestChoiceKnowsSpeedsOfTheirOwn compares the choice with all others where attention has a speed
// of its own, passes take something and messages a while.
func TestChoiceKnowsSpeedsOfTheirOwn(t *testing.T) {
	sites := clusters()["partly drained"]
	for i := range sites {
		s := &sites[i]
		s.Attention = s.Speed * float64(1+i/8) / 2
		s.Pass, s.Idle = 1e-4, 5e-5
		s.Delays = Delays{Host: 1e-5, Net: 1e-4, Far: 1e-3}
	}

	for clip, w := range clips() {
		c, ok := Choose(w, sites, Ask{Most: len(sites)})
		if !ok {
			t.Fatalf("%s: nothing is chosen", clip)
		}
		if better, _ := counterexample(w, sites, len(sites), c.Step.Time/1.02); better != "" {
			t.Errorf("%s: %v on %v takes %.4g s, but %s", clip, c.Mesh, c.Sites, c.Step.Time, better)
		}
	}
}
