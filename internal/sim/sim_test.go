package sim

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// seeds is how many runs a test does: SIM_SEEDS, or 1000; a few under -short, many in long tests.
func seeds(t *testing.T) uint64 {
	if s := os.Getenv("SIM_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SIM_SEEDS: %v", err)
		}
		return n
	}
	switch {
	case testing.Short():
		return 400
	case os.Getenv("LONGTAKE_LONG") != "":
		return 10000
	}
	return 1000
}

// TestClustersSurviveEverything runs many seeds on all cores.
func TestClustersSurviveEverything(t *testing.T) {
	var next, bad atomic.Uint64
	var mu sync.Mutex
	var all Stats
	var wg sync.WaitGroup
	n := seeds(t)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= n && bad.Load() == 0; seed = next.Add(1) {
				s, err := Run(Options{Seed: seed})
				if err != nil {
					bad.Store(seed)
				}
				mu.Lock()
				all.Add(s)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds: %+v", n, all)
	if seed := bad.Load(); seed != 0 {
		_, err := Run(Options{Seed: seed, Trace: true})
		t.Fatal(err)
	}
	for i := range reflect.TypeFor[Stats]().NumField() { // nothing of it may go missing unseen
		if reflect.ValueOf(all).Field(i).Int() == 0 {
			t.Errorf("in %d runs there were no %s", n, reflect.TypeFor[Stats]().Field(i).Name)
		}
	}
}

// found are seeds that once showed a bug.
var found = []uint64{612, 4990}

func TestSeedsThatFoundBugs(t *testing.T) {
	for _, seed := range found {
		if _, err := Run(Options{Seed: seed, Trace: true}); err != nil {
			t.Error(err)
		}
	}
}

// TestARunIsDecidedByItsSeed runs seeds twice and compares the traces.
func TestARunIsDecidedByItsSeed(t *testing.T) {
	for seed := range uint64(20) {
		var traces [2]string
		for i := range traces {
			w := newWorld(Options{Seed: seed, Trace: true})
			w.run()
			traces[i] = fmt.Sprint(w.stats, w.trace)
		}
		if traces[0] != traces[1] {
			t.Fatalf("two runs of seed %d differ:\n%s\n%s", seed, traces[0], traces[1])
		}
	}
}

// TestPlantedBugsAreCaught plants one bug of each kind. Every kind of violation has its mutant.
func TestPlantedBugsAreCaught(t *testing.T) {
	for mutant, kinds := range Mutants {
		t.Run(mutant, func(t *testing.T) {
			for seed := range uint64(500) {
				_, err := Run(Options{Seed: seed, Mutant: mutant})
				var f *Failure
				if !errors.As(err, &f) {
					continue
				}
				if !slices.Contains(strings.Split(kinds, "|"), f.Kind) {
					t.Fatalf("shows as %q (%s), not as %q", f.Kind, f.What, kinds)
				}
				return
			}
			t.Error("nothing was found in 500 seeds")
		})
	}
}
