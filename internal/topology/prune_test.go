package topology

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// plainly is a choice that looks at whatever cannot be better, too. Neither it nor the other one
// runs out of effort.
func plainly(w Work, sites []Site, ask Ask, plain bool) (*chooser, Choice) {
	c := newChooser(w, sites, ask, plain)
	c.effort, c.climbs = math.MaxInt, math.MaxInt
	out, _ := c.choose()
	return c, out
}

// thinned is a cluster of which some sites are taken: hosts that are alike but for a few, each
// site a process of its own, or each host.
func thinned(rng *rand.Rand, hosts int) (out []Site) {
	pick := func(from ...float64) float64 { return from[rng.IntN(len(from))] }
	racks, slow, own := 1+rng.IntN(2), pick(0, 0, 0.1), rng.IntN(3) > 0
	net, host := pick(1e9, 10e9, 40e9), pick(10e9, 300e9)
	for h := range hosts {
		taken := rng.IntN(8)
		if rng.IntN(3) == 0 {
			taken = 0
		}
		rates := Rates{Process: 300e9, Host: host, Net: net, Far: net / 2}
		if rng.IntN(10) == 0 {
			rates.Net /= 2
		}
		for i := range 8 - taken {
			s := Site{Name: fmt.Sprint(h, "-", i), Host: fmt.Sprint("h", h), Rates: rates,
				Process: fmt.Sprint("p", h), Rack: fmt.Sprint("r", h%racks), Speed: 400e12}
			if own {
				s.Process = s.Name
			}
			if rng.Float64() < slow {
				s.Speed = pick(200e12, 300e12)
			}
			out = append(out, s)
		}
	}
	return out
}

// TestNothingBetterIsLeftOut compares choices with those that look at all there is, and places with
// the floors of their meshes.
func TestNothingBetterIsLeftOut(t *testing.T) {
	works := []Work{wan(1280, 720, 21, 0, 0), wan(832, 480, 21, 0, 0), wan(1280, 720, 101, 21, 5)}
	fewer := 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 11))
		sites := [](func() []Site){
			func() []Site { return thinned(rng, 3+rng.IntN(4)) },
			func() []Site { return anyCluster(rng) },
			func() []Site { return unevenCluster(rng) }}[seed%3]()

		// Of a number of ranks, or up to one, and some sites may not have the first.
		w, ask := works[rng.IntN(len(works))], Ask{Most: 1 + rng.IntN(12)}
		if n := rng.IntN(10); rng.IntN(2) == 0 && n <= len(sites) {
			ask.Ranks = n
		}
		if from := rng.IntN(len(sites)); rng.IntN(3) == 0 {
			ask.First = func(i int) bool { return i >= from }
		}

		a, want := plainly(w, sites, ask, true)
		b, got := plainly(w, sites, ask, false)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: %v on %v for %v; want %v on %v for %v", seed, got.Mesh, got.Sites,
				got.Step.Time, want.Mesh, want.Sites, want.Step.Time)
		}
		if b.effort > a.effort {
			fewer++
		}
	}
	if fewer < 20 {
		t.Errorf("of 40 choices %d took less effort", fewer)
	}
}

// TestFloorsAreBelow holds floors to places at random, and wants them to be what the best place
// takes where groups fit into hosts.
func TestFloorsAreBelow(t *testing.T) {
	works := []Work{wan(1280, 720, 21, 0, 0), wan(832, 480, 21, 0, 0), wan(1280, 720, 101, 21, 5)}
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 12))
		sites, w := thinned(rng, 2+rng.IntN(3)), works[rng.IntN(len(works))]
		if seed%3 == 0 {
			sites = anyCluster(rng)
		}
		c := newChooser(w, sites, Ask{Most: min(16, len(sites))}, false)
		for _, cand := range c.candidates() {
			task := newTask(w, cand.m)
			floor := c.floor(task)

			for range 20 {
				at := rng.Perm(len(sites))[:cand.m.Size()]
				if rng.IntN(2) == 0 {
					slices.Sort(at)
				}
				if s := task.predict(c.g, at); s.Time < floor {
					t.Fatalf("seed %d: %v on %v: %v < %v", seed, cand.m, at, s.Time, floor)
				}
			}
		}
	}

	w, sites := works[0], cluster(8, 8, 8, 8)
	for _, ranks := range []int{1, 2, 8, 16} {
		for i := range sites {
			sites[i].Process, sites[i].Rates.Host = sites[i].Name, 300e9
		}
		c, got := plainly(w, sites, Ask{Ranks: ranks}, false)
		if f := c.floor(newTask(w, got.Mesh)); f < clearly*got.Step.Time {
			t.Errorf("%v takes %v, and its floor is %v", got.Mesh, got.Step.Time, f)
		}
	}
}

// BenchmarkChooseOfBusy decides on 128 hosts that are alike, some of whose sites are taken.
func BenchmarkChooseOfBusy(b *testing.B) {
	sites := thinned(rand.New(rand.NewPCG(13, 11)), 128)
	for clip, w := range clips() {
		for _, ranks := range []int{8, 16, 32} {
			b.Run(fmt.Sprintf("%d of %d sites, %s", ranks, len(sites), clip), func(b *testing.B) {
				for b.Loop() {
					Choose(w, sites, Ask{Ranks: ranks})
				}
			})
		}
	}
}
