package diffusion

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/tensor"
)

// model is a velocity that depends on everything it is given.
func model(_ context.Context, p Pass, x, v []float32) error {
	scale := float32(0.7) - float32(p.Branch)/4
	for i := range v {
		v[i] = float32(scale*x[i]) + float32(p.Step) + p.Timestep/1000
	}
	return nil
}

func denoiser(t testing.TB, steps int, guidance float32) *Denoiser {
	t.Helper()
	s, err := NewScheduler(KindUniPC, steps, 3, wan(KindUniPC))
	if err != nil {
		t.Fatal(err)
	}
	return &Denoiser{Scheduler: s, Velocity: model, Guidance: guidance}
}

func noise(n int) []float32 {
	x := make([]float32, n)
	randn(NewGenerator(1), x)
	return x
}

func TestDenoiserSteps(t *testing.T) {
	d := denoiser(t, 4, 1)
	var branches []Branch
	var done []int
	d.Velocity = func(ctx context.Context, p Pass, x, v []float32) error {
		branches = append(branches, p.Branch)
		return model(ctx, p, x, v)
	}
	d.OnStep = func(n int, _ time.Duration) error { done = append(done, n); return nil }
	x := noise(20)
	if err := d.Run(t.Context(), x, 0); err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 2, 3, 4}; !slices.Equal(done, want) {
		t.Errorf("steps done %v, want %v", done, want)
	}
	if slices.Contains(branches, Unconditional) || len(branches) != 4 {
		t.Errorf("branches computed without guidance: %v", branches)
	}
}

func TestDenoiserStopsOnStep(t *testing.T) {
	stop := errors.New("cancelled")
	d := denoiser(t, 6, 4)
	calls := 0
	d.Velocity = func(ctx context.Context, p Pass, x, v []float32) error {
		calls++
		return model(ctx, p, x, v)
	}
	d.OnStep = func(n int, _ time.Duration) error {
		if n == 2 {
			return stop
		}
		return nil
	}
	if err := d.Run(t.Context(), noise(5), 0); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of OnStep", err)
	}
	if calls != 4 {
		t.Errorf("%d velocities computed in 2 steps, want 4", calls)
	}
}

// TestGuidanceOverRanks: two ranks that exchange velocities get the bytes one rank gets alone.
func TestGuidanceOverRanks(t *testing.T) {
	const steps, size = 5, 33
	alone := noise(size)
	if err := denoiser(t, steps, 4.5).Run(t.Context(), alone, 0); err != nil {
		t.Fatal(err)
	}
	pipes := [2]chan []float32{make(chan []float32, 1), make(chan []float32, 1)}
	errs := make(chan error, 2)
	results := [2][]float32{noise(size), noise(size)}
	for b := range pipes {
		d := denoiser(t, steps, 4.5)
		d.Own = Branch(b)
		d.Exchange = func(_ context.Context, _ Pass, own []float32) ([]float32, error) {
			pipes[b] <- own
			return <-pipes[1-b], nil
		}
		go func() { errs <- d.Run(t.Context(), results[b], 0) }()
	}
	for range pipes {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for b, got := range results {
		if n, _ := difference(got, alone); n > 0 {
			t.Errorf("the rank of branch %d differs in %d values", b, n)
		}
	}
}

func TestDenoiserErrors(t *testing.T) {
	broken := errors.New("broken")
	fail := func(branch Branch) func(*Denoiser) {
		velocity := func(ctx context.Context, p Pass, x, v []float32) error {
			if p.Branch == branch && p.Step == 1 {
				return broken
			}
			return model(ctx, p, x, v)
		}
		return func(d *Denoiser) { d.Velocity = velocity }
	}
	exchange := func(v []float32, err error) func(*Denoiser) {
		return func(d *Denoiser) {
			d.Exchange = func(context.Context, Pass, []float32) ([]float32, error) { return v, err }
		}
	}
	cases := []struct {
		name, want string
		from       int
		set        func(*Denoiser)
	}{
		{"conditional", "cannot compute step 2 of 3: broken", 0, fail(Conditional)},
		{"unconditional", "cannot compute step 2 of 3: broken", 0, fail(Unconditional)},
		{"exchange", "cannot compute step 1 of 3: broken", 0, exchange(nil, broken)},
		{"short exchange", "sent 6 values, 7 expected", 0, exchange(make([]float32, 6), nil)},
		{"long exchange", "sent 8 values, 7 expected", 0, exchange(make([]float32, 8), nil)},
		{"from", "cannot apply step 2 of 3: step 1 is out of order", 1, func(*Denoiser) {}},
	}
	for _, c := range cases {
		d := denoiser(t, 3, 4)
		c.set(d)
		err := d.Run(t.Context(), noise(7), c.from)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestGuide(t *testing.T) {
	c, u := []float32{1, 2, -3}, []float32{0.5, 2, 1}
	want := []float32{2.5, 2, -15}
	dst := make([]float32, 3)
	Guide(dst, c, u, 4)
	if !slices.Equal(dst, want) {
		t.Errorf("%v, want %v", dst, want)
	}
	for _, into := range [][]float32{c, u} {
		a, b := slices.Clone(c), slices.Clone(u)
		if &into[0] == &c[0] {
			Guide(a, a, b, 4)
			b = a
		} else {
			Guide(b, a, b, 4)
		}
		if !slices.Equal(b, want) {
			t.Errorf("in place %v, want %v", b, want)
		}
	}
}

// TestDenoiserEndsWhereNumbersAreNotFinite has velocities that are NaN or infinite, and finite ones
// that guidance takes beyond float32. No later step is computed.
func TestDenoiserEndsWhereNumbersAreNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	for _, c := range []struct {
		name     string
		guidance float32
		at       Pass
		value    float32
		want     string
	}{
		{"the first step", 1, Pass{}, nan, "step 1 of 3: window 5, conditional branch: the velocity"},
		{"a later one", 4, Pass{Step: 1}, inf, "step 2 of 3: window 5, conditional branch: the velocity"},
		{"the other branch", 4, Pass{Step: 2, Branch: Unconditional}, nan,
			"step 3 of 3: window 5, unconditional branch: the velocity"},
		{"guidance", 4, Pass{Step: 1}, 3e38, "cannot continue after step 2 of 3: the latent"},
	} {
		d := denoiser(t, 3, c.guidance)
		last := 0
		d.Window = 4
		d.Velocity = func(ctx context.Context, p Pass, x, v []float32) error {
			err := model(ctx, p, x, v)
			if last = p.Step; p.Step == c.at.Step && p.Branch == c.at.Branch {
				v[7] = c.value
			}
			return err
		}
		err := d.Run(t.Context(), noise(20), 0)
		var bad *tensor.NotFiniteError
		if !errors.As(err, &bad) || bad.At != 7 || last != c.at.Step ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: after step %d: %v", c.name, last, err)
		}
	}
}
