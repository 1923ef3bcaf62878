package serve

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// noisy is a server whose clips take seconds that scatter by a deviation, each in its own way.
func noisy(side string, seconds, deviation float64) *stand {
	on := newStand(1, 0)
	on.work = func(r target.Request) time.Duration {
		rng := rand.New(rand.NewPCG(uint64(r.Seed), uint64(side[0])))
		took := seconds * math.Exp(deviation*rng.NormFloat64())
		return time.Duration(took * float64(time.Second))
	}
	return on
}

// resolving runs two benches until they end or ctx does, and returns their results.
func resolving(ctx context.Context, t *testing.T, s Setup, dir string, started time.Time,
	deviation float64) (out []result.Result) {
	t.Helper()
	benches := both(t, s, dir, started, map[string]*stand{SideA: noisy(SideA, 2, deviation),
		SideB: noisy(SideB, 2.1, deviation)})
	told := 0.
	benches[0].Tell = func(s Status) { told = s.Shows }
	runAll(ctx, t, benches)
	if ctx.Err() != nil {
		return nil
	}
	for _, b := range benches {
		r := b.Result(result.Tool{}, nil)
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if told <= 0 || told > 1 {
		t.Errorf("progress says that a difference of %v could be shown", told)
	}
	return out
}

// TestResolve ends a run when its pairs show what they are to show, not before and not much later,
// with as many clips of either side; an interruption changes nothing of that; and where the noise
// is too much for --count, the result says so. What is planted is found.
func TestResolve(t *testing.T) {
	for _, c := range []struct {
		deviation float64
		count     int
		stopped   time.Duration // 0: not
		want      string
	}{{0.04, 400, 0, "could show a difference of"}, {0.04, 400, 7 * time.Minute, "went on"},
		{0.3, 64, 0, "before it resolved a difference of 3 % (--resolve): its pairs could show"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := plain(SingleStream)
			s.Count, s.Warmup, s.Resolve = c.count, 2, 0.03
			dir, started := folder(t), time.Now()
			if c.stopped > 0 {
				ctx, cancel := context.WithTimeout(t.Context(), c.stopped)
				resolving(ctx, t, s, dir, started, c.deviation)
				cancel()
			}
			sides := resolving(t.Context(), t, s, dir, started, c.deviation)

			text := strings.Join(sides[1].Notes, " ")
			n := sides[0].Summary.Requests
			if n != sides[1].Summary.Requests || !strings.Contains(text, c.want) {
				t.Errorf("%d and %d clips; %s", n, sides[1].Summary.Requests, text)
			}
			m := compare(t, sides)
			if c.count == 64 {
				if n != 64 || m.Smallest < 0.03 {
					t.Errorf("%d clips: %+v", n, m)
				}
				return
			}

			even := n%result.ResolveEvery == 0
			if m.Smallest > 0.03 || m.Verdict != "slower" || !even || n >= 200 {
				t.Errorf("%d clips: %+v", n, m)
			}
			for i := range sides {
				sides[i].Requests = sides[i].Requests[:2+n-result.ResolveEvery]
			}
			if m := compare(t, sides); n > result.ResolveLeast && m.Smallest <= 0.03 {
				t.Errorf("%d clips, of which fewer show %+v", n, m)
			}
		})
	}
}

// compare returns the first metric of two sides.
func compare(t *testing.T, sides []result.Result) result.Metric {
	t.Helper()
	c, err := result.Compare(sides[:1], sides[1:], result.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Metrics[0]
}

// TestSetupRefuses what is out of bounds, and says what these are, and what --resolve goes with.
func TestSetupRefuses(t *testing.T) {
	for want, change := range map[string]func(*Setup){
		"--resolve is 2%; allowed: 2.5% to 100%": func(s *Setup) { s.Resolve = 0.02 },
		"--resolve is NaN%; allowed":             func(s *Setup) { s.Resolve = math.NaN() },
		"--resolve goes with --versus":           func(s *Setup) { s.Side = "" },
		"--psnr is -3; allowed: 0 to 100 dB":     func(s *Setup) { s.PSNR = -3 },
	} {
		s := plain(SingleStream)
		s.Side, s.Resolve = SideA, 0.03
		if change(&s); s.Check() == nil || !contains(s.Check(), want) {
			t.Errorf("%v; want %s", s.Check(), want)
		}
	}
}
