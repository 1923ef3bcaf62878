package serve

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// both are two benches that take turns, in a folder that may have their journals.
func both(t *testing.T, s Setup, dir string, started time.Time, on map[string]*stand) []*Bench {
	t.Helper()
	var out []*Bench
	for _, side := range []string{SideA, SideB} {
		s.Side = side
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		head := Head(s, result.Cohort{Dialect: "longtake"}, started)
		j, err := OpenJournal(filepath.Join(dir, side), head)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		out = append(out, &Bench{Setup: s, Target: on[side], Journal: j})
	}
	turns, err := NewTurns(out[0].Journal, out[1].Journal)
	if err != nil {
		t.Fatal(err)
	}
	out[0].Turns, out[1].Turns = turns, turns
	return out
}

// runAll runs benches at the same time until they end or ctx does.
func runAll(ctx context.Context, t *testing.T, benches []*Bench) {
	t.Helper()
	var all sync.WaitGroup
	for _, b := range benches {
		all.Go(func() {
			if err := b.Run(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			b.Journal.Close()
		})
	}
	all.Wait()
}

// TestTurns: A B B A, one clip at a time, also where the run was interrupted in the middle of a
// pair; what is done after the last clip of one side waits for the other, and no wait is latency.
func TestTurns(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := plain(SingleStream)
			s.Count, s.Fidelity = 8, 1
			dir, started := folder(t), time.Now()
			var mu sync.Mutex
			var order strings.Builder
			on := map[string]*stand{}
			for side, seconds := range map[string]time.Duration{SideA: 2, SideB: 5} {
				on[side] = newStand(1, seconds*time.Second)
				on[side].work = func(r target.Request) time.Duration {
					mu.Lock()
					defer mu.Unlock()
					order.WriteString(side)
					return seconds * time.Second
				}
			}

			// The third clip is of B: A has made its first two by then, and so has B.
			run := func(ctx context.Context) []*Bench {
				benches := both(t, s, dir, started, on)
				runAll(ctx, t, benches)
				return benches
			}
			want := "abbaabbaabbaabba"
			if interrupted {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // in the second b
				run(ctx)
				cancel()
				want = "abb" + "baabbaabbaabba" // which is made again, before a's second
				time.Sleep(time.Hour)
			}

			benches := run(t.Context())
			if got := order.String(); got[:len(got)-2] != want {
				t.Errorf("interrupted: %v: %s; want %s and two more", interrupted, got, want)
			}
			for i, b := range benches {
				r := b.Result(result.Tool{}, nil)
				if err := r.Check(); err != nil || len(r.Requests) != 8 || r.Pair == nil ||
					r.Pair.ID != benches[0].Turns.id {
					t.Fatalf("%v: %+v", err, r.Pair)
				}
				for _, q := range r.Requests {
					if want := []float64{2, 5}[i]; q.Latency != want {
						t.Errorf("%s: %v s; want %v", r.Pair.Side, q.Latency, want)
					}
				}
			}
		})
	}
}

// TestJournalsOfTwoRunsAreNoPair, whatever is in them.
func TestJournalsOfTwoRunsAreNoPair(t *testing.T) {
	s, dir := plain(SingleStream), folder(t)
	var all []*Journal
	for i, side := range []string{SideA, SideB, SideB} {
		s.Side = side
		at := time.Unix(int64(i/2), 0)
		j, err := OpenJournal(filepath.Join(dir, string(rune('x'+i))), Head(s, result.Cohort{}, at))
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		all = append(all, j)
	}
	if _, err := NewTurns(all[0], all[1]); err != nil {
		t.Error(err)
	}
	for _, pair := range [][]*Journal{{all[0], all[2]}, {all[1], all[0]}} {
		if _, err := NewTurns(pair[0], pair[1]); err == nil || !contains(err, "not of one run") {
			t.Errorf("%v", err)
		}
	}
}
