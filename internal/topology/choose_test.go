package topology

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/partition"
)

// clusters are those of the tests: 4 hosts of 8 sites, and what may be wrong with them.
func clusters() map[string][]Site {
	change := func(f func(host int, s *Site)) []Site {
		out := cluster(8, 8, 8, 8)
		for i := range out {
			f(i/8, &out[i])
		}
		return out
	}
	return map[string][]Site{
		"4 hosts of 8": cluster(8, 8, 8, 8), "uneven hosts": cluster(8, 4, 2, 1),
		"partly drained": cluster(8, 7, 5, 3),
		"slow network":   change(func(_ int, s *Site) { s.Rates.Net = 1e9 }),
		"two racks": change(func(host int, s *Site) {
			s.Rack, s.Rates.Far = fmt.Sprint("r", host/2), 1e9
		}),
		"a slow host": change(func(host int, s *Site) {
			if host == 3 {
				s.Speed /= 2
			}
		}),
		"a slow interface": change(func(host int, s *Site) {
			if host == 1 {
				s.Rates.Net = 0.1e9
			}
		}),
	}
}

// TestChoiceIsWithinTwoPercent compares the choice with all others.
func TestChoiceIsWithinTwoPercent(t *testing.T) {
	for name, sites := range clusters() {
		for clip, w := range clips() {
			c, ok := Choose(w, sites, Ask{Most: len(sites)})
			if !ok {
				t.Fatalf("%s, %s: nothing is chosen", name, clip)
			}
			better, looked := counterexample(w, sites, len(sites), c.Step.Time/1.02)
			t.Logf("%s, %s: %v on %d sites takes %.2f s; %d groups looked at", name, clip, c.Mesh,
				len(c.Sites), c.Step.Time, looked)
			if better != "" {
				t.Errorf("%s, %s: %v on %v takes %.4g s, but %s", name, clip, c.Mesh, c.Sites, c.Step.Time,
					better)
			}
		}
	}
}

// TestGroupsStayWithinHosts tells what is chosen for hosts and racks that are all alike.
func TestGroupsStayWithinHosts(t *testing.T) {
	for clip, w := range clips() {
		c, _ := Choose(w, clusters()["two racks"], Ask{Most: 32})
		for r, n := range c.Sites {
			if first := c.Sites[r-r%c.Mesh.Ulysses]; n/8 != first/8 {
				t.Errorf("%s, %v: rank %d is on another host than its group: %v", clip, c.Mesh, r, c.Sites)
			}
		}
	}
}

// anyCluster makes a small cluster of any kind.
func anyCluster(rng *rand.Rand) (out []Site) {
	pick := func(from ...float64) float64 { return from[rng.IntN(len(from))] }
	rates := make([]Rates, 3)
	for h := range rates {
		rates[h] = Rates{Net: pick(0, 0.1e9, 1e9, 20e9), Far: pick(0, 0.05e9, 5e9),
			Process: pick(0, 200e9)}
	}
	measured := rng.IntN(2) == 0
	for i := range 1 + rng.IntN(6) {
		host := rng.IntN(3)
		s := Site{Name: fmt.Sprint(i), Host: fmt.Sprint(host), Rack: fmt.Sprint(host % 2),
			Rates: rates[host], Speed: pick(400e12, 300e12, 100e12)}
		s.Process = s.Host + []string{"a", "b"}[rng.IntN(2)]
		if measured {
			s.Measured = s.Speed
		}
		out = append(out, s)
	}
	return out
}

// smallWorks are those of the small clusters.
func smallWorks() []Work {
	works := []Work{wan(1280, 720, 21, 0, 0), wan(832, 480, 61, 21, 5), wan(320, 192, 9, 0, 0)}
	works[2].Guided = false
	return works
}

// TestSmallClusters compares the choice with all others in clusters of up to 6 sites, whatever
// their hosts, racks, speeds and links.
func TestSmallClusters(t *testing.T) {
	nearBest(t, 300, 0, anyCluster, smallWorks())
}

// nearBest wants no other choice to be more than 2 % better, in a cluster of each seed.
func nearBest(t *testing.T, seeds, stream uint64, cluster func(*rand.Rand) []Site, works []Work) {
	t.Helper()
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, stream))
		sites, w := cluster(rng), works[rng.IntN(len(works))]
		c, _ := Choose(w, sites, Ask{Most: len(sites)})
		if better, _ := counterexample(w, sites, len(sites), c.Step.Time/1.02); better != "" {
			t.Errorf("seed %d: %v on %v takes %.4g s, but %s", seed, c.Mesh, c.Sites, c.Step.Time, better)
		}
	}
}

// unevenCluster makes a cluster of up to 4 hosts of up to 8 sites, which differ in speed, also
// within a host, and in their interfaces.
func unevenCluster(rng *rand.Rand) (out []Site) {
	pick := func(from ...float64) float64 { return from[rng.IntN(len(from))] }
	for h := range 2 + rng.IntN(3) {
		host := fmt.Sprint("h", h)
		speed, net := pick(400e12, 400e12, 300e12, 200e12), pick(10e9, 10e9, 3e9, 1e9)
		mixed := rng.IntN(3) == 0
		for i := range 1 + rng.IntN(8) {
			if mixed && rng.IntN(3) == 0 {
				speed = 250e12
			}
			out = append(out, Site{Name: fmt.Sprint(host, "-", i), Process: host, Host: host,
				Rack: fmt.Sprint(h % 2), Speed: speed, Rates: Rates{Process: 150e9, Net: net}})
		}
	}
	return out
}

// TestUnevenClusters compares the choice with all others, as TestSmallClusters.
func TestUnevenClusters(t *testing.T) {
	works := []Work{wan(1280, 720, 21, 0, 0), wan(832, 480, 21, 0, 0), wan(1280, 720, 101, 21, 5)}
	nearBest(t, 60, 7, unevenCluster, works)
}

// TestChoicesAreSound holds any choice to what was asked for.
func TestChoicesAreSound(t *testing.T) {
	works := smallWorks()
	rapid.Check(t, func(t *rapid.T) {
		sites := anyCluster(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)))
		w := rapid.SampledFrom(works).Draw(t, "work")
		first := rapid.IntRange(0, len(sites)-1).Draw(t, "first")
		ask := Ask{Ranks: rapid.IntRange(0, len(sites)).Draw(t, "ranks"), Most: len(sites),
			First: func(i int) bool { return i >= first }}

		c, ok := Choose(w, sites, ask)
		if again, _ := Choose(w, sites, ask); !reflect.DeepEqual(c, again) {
			t.Fatalf("%v, then %v", c, again)
		}
		if !ok {
			return // a mesh of so many ranks need not exist
		}
		taken := slices.Compact(slices.Sorted(slices.Values(c.Sites)))
		if partition.Check(c.Mesh, w.Load) != nil || len(taken) != c.Mesh.Size() ||
			ask.Ranks > 0 && len(taken) != ask.Ranks || c.Sites[0] < first {
			t.Fatalf("%v on %v, of %d ranks and with the first from %d on", c.Mesh, c.Sites, ask.Ranks,
				first)
		}

		on := make([]Site, len(c.Sites))
		for r, i := range c.Sites {
			on[r] = sites[i]
		}
		if s := Predict(w, c.Mesh, on); s != c.Step {
			t.Fatalf("%v is chosen for %+v, and takes %+v", c.Mesh, c.Step, s)
		}
	})
}

// TestMemoryIsKeptTo: no rank is on a site that lacks the memory for its part of the mesh.
func TestMemoryIsKeptTo(t *testing.T) {
	w, sites := wan(1280, 720, 21, 0, 0), cluster(4, 4)
	w.Memory = func(m partition.Mesh) int64 { return int64(100 / m.Ulysses) }
	for i := range sites {
		sites[i].Memory = 50
	}
	sites[2].Memory = 10
	c, ok := Choose(w, sites, Ask{Most: 8})
	if !ok || c.Mesh.Ulysses < 2 || slices.Contains(c.Sites, 2) {
		t.Errorf("%v on %v", c.Mesh, c.Sites)
	}
	w.Memory = func(partition.Mesh) int64 { return 100 }
	if c, ok := Choose(w, sites, Ask{Most: 8}); ok {
		t.Errorf("%v on %v, where none has the memory", c.Mesh, c.Sites)
	}
}

// BenchmarkChoose decides on clusters of up to 1,024 sites.
func BenchmarkChoose(b *testing.B) {
	for _, hosts := range []int{4, 32, 128} {
		sites := cluster(slices.Repeat([]int{8}, hosts)...)
		for i := range sites {
			sites[i].Rack = fmt.Sprint("r", i/64)
			sites[i].Speed *= 1 + float64(i%7)/20
		}
		for clip, w := range clips() {
			b.Run(fmt.Sprintf("%d sites, %s", len(sites), clip), func(b *testing.B) {
				for b.Loop() {
					Choose(w, sites, Ask{Most: len(sites)})
				}
			})
		}
		hour := wan(1280, 720, 14401, 21, 5)
		b.Run(fmt.Sprintf("%d sites, an hour", len(sites)), func(b *testing.B) {
			for b.Loop() {
				Choose(hour, sites, Ask{Most: len(sites)})
			}
		})
	}
}

// TestAProcessOnTwoHosts places ranks on sites that claim to be of one process and are not.
func TestAProcessOnTwoHosts(t *testing.T) {
	sites := []Site{{Name: "a", Process: "p", Host: "h1", Speed: 1e9},
		{Name: "b", Process: "q", Host: "h2", Speed: 1e9},
		{Name: "c", Process: "p", Host: "h2", Speed: 1e9}}
	c := &chooser{g: survey(sites)}
	c.prepare()
	if bins := c.bins([]int{0, 1, 2}); len(bins) != 2 || len(bins[1].processes) != 2 {
		t.Error("there are two hosts")
	}
}
