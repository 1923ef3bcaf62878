package diffusion

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/partition"
)

// TestNoiseOfLongClipsEqualsTheReference compares with the permuted noise of the goldens.
func TestNoiseOfLongClipsEqualsTheReference(t *testing.T) {
	for _, name := range []string{"long_windows_11", "long_windows_14", "long_windows_21"} {
		f := golden.Open(t, name)
		want := f.Floats("noise")
		shape := f.Tensor("noise").Shape // [1, C, T, H, W]
		var seed uint64
		var window, overlap int
		f.Meta("seed", &seed)
		f.Meta("window", &window)
		f.Meta("overlap", &overlap)
		g := partition.Grid{T: shape[2], H: shape[3], W: shape[4], PT: 1, PH: 2, PW: 2}
		n := WindowNoise(NewGenerator(seed), shape[1], g, window, overlap)
		all := partition.Range{Hi: g.Tokens()}
		got := make([]float32, len(want))
		Scatter(got, n.Tokens(all), shape[1], g, all)
		golden.Near(t, name, got, want, 1e-6)
	}
}

// TestNoiseWithoutWindowsIsRandn, also for sizes that torch draws by its other rules, and the
// generator ends where it does.
func TestNoiseWithoutWindowsIsRandn(t *testing.T) {
	for _, g := range []partition.Grid{{T: 1, H: 1, W: 3, PT: 1, PH: 1, PW: 1},
		{T: 3, H: 2, W: 3, PT: 1, PH: 1, PW: 3}, {T: 2, H: 4, W: 4, PT: 1, PH: 2, PW: 2}} {
		const channels = 3
		a, b := NewGenerator(4), NewGenerator(4)
		want := make([]float32, channels*g.T*g.H*g.W)
		randn(a, want)
		all := partition.Range{Hi: g.Tokens()}
		got := WindowNoise(b, channels, g, 0, 0).Tokens(all)
		if !slices.Equal(got, Tokens(want, channels, g, all)) {
			t.Errorf("%+v: the noise is not Randn's", g)
		}
		if !slices.Equal(a.Randperm(9), b.Randperm(9)) {
			t.Errorf("%+v: the generator is elsewhere", g)
		}
	}
}

// board lets the ranks of a test exchange values.
type board struct {
	mu  sync.Mutex
	box map[string]chan []float32
}

func (b *board) at(key string) chan []float32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.box[key] == nil {
		b.box[key] = make(chan []float32, 1)
	}
	return b.box[key]
}

func (b *board) swap(me int) Swap {
	return func(_ context.Context, step int, out [][]float32, want []int) ([][]float32, error) {
		for peer, v := range out {
			if v != nil {
				b.at(fmt.Sprint(step, me, peer)) <- v
			}
		}
		in := make([][]float32, len(out))
		for peer, n := range want {
			if n > 0 {
				in[peer] = <-b.at(fmt.Sprint(step, peer, me))
				if len(in[peer]) != n {
					return nil, fmt.Errorf("%d values, %d wanted", len(in[peer]), n)
				}
			}
		}
		return in, nil
	}
}

// long denoises a clip of windows on all ranks of a layout and returns what they keep, in the order
// of the clip. The model looks at a window's whole frames, but only through the rank's own tokens.
func long(t *rapid.T, l partition.Layout, width, steps int) []float32 {
	noise := make([]float32, l.Tokens()*width)
	randn(NewGenerator(9), noise)
	out := make([]float32, len(noise))
	b := &board{box: map[string]chan []float32{}}
	errs := make([]error, l.Mesh.Size())
	var wg sync.WaitGroup
	for rank := range l.Mesh.Size() {
		wg.Go(func() {
			w := NewWindows(l, rank, width, b.swap(rank))
			x := make([]float32, 0, w.Values())
			for _, h := range l.Held(rank) {
				x = append(x, noise[h.Lo*width:h.Hi*width]...)
			}
			s, err := NewScheduler(KindUniPC, steps, 3, wan(KindUniPC))
			if err != nil {
				errs[rank] = err
				return
			}
			d := &Denoiser{Scheduler: s, Velocity: windowed(l, rank, width), Guidance: 1, Windows: w}
			errs[rank] = d.Run(context.Background(), x, 0)
			for _, k := range l.Kept()[rank] {
				at := w.Place(k)
				copy(out[k.Lo*width:k.Hi*width], x[at.Lo:at.Hi])
			}
		})
	}
	wg.Wait()
	for rank, err := range errs {
		if err != nil {
			t.Fatalf("rank %d: %v", rank, err)
		}
	}
	return out
}

// windowed is a model whose velocity depends on the window and on the place in it.
func windowed(l partition.Layout, rank, width int) Velocity {
	return func(_ context.Context, p Pass, x, v []float32) error {
		frames := l.Windows(p.Step)[p.Window]
		own := l.Own(p.Step, rank, p.Window)
		for i := range v {
			place := own.Lo + i/width - frames.Lo*l.PerFrame
			v[i] = float32(0.3*x[i]) + float32(place)/100 + p.Timestep/1000
		}
		return nil
	}
}

// TestAnyMeshOfWindowsGivesTheSameBytes splits random clips over random meshes.
func TestAnyMeshOfWindowsGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl := partition.Timeline{Frames: rapid.IntRange(2, 24).Draw(t, "frames"),
			PerFrame: rapid.IntRange(1, 4).Draw(t, "per frame"), Uniform: rapid.Bool().Draw(t, "uniform"),
			Window: rapid.IntRange(1, 9).Draw(t, "window")}
		tl.Overlap = rapid.IntRange(0, tl.Window-1).Draw(t, "overlap")
		one := partition.Layout{Timeline: tl, Mesh: partition.Mesh{CFG: 1, Ulysses: 1}}
		width, steps := rapid.IntRange(1, 3).Draw(t, "width"), rapid.IntRange(1, 5).Draw(t, "steps")
		want := long(t, one, width, steps)
		many := one
		many.Mesh.Ulysses = rapid.IntRange(1, min(3, tl.WindowTokens())).Draw(t, "ulysses")
		most := len(tl.Windows(0))
		for step := range steps {
			most = min(most, len(tl.Windows(step)))
		}
		many.Mesh.Window = rapid.IntRange(1, min(4, most)).Draw(t, "groups")
		if n, _ := difference(long(t, many, width, steps), want); n > 0 {
			t.Fatalf("%v of %+v: %d values differ", many.Mesh, tl, n)
		}
	})
}

// TestGivenValuesStay, at every step and in the end.
func TestGivenValuesStay(t *testing.T) {
	d := denoiser(t, 4, 1)
	d.Given = []float32{5, 6, 7}
	x := noise(8)
	d.OnStep = nil
	d.Velocity = func(ctx context.Context, p Pass, x, v []float32) error {
		if !slices.Equal(x[:3], d.Given) {
			t.Errorf("step %d sees %v", p.Step, x[:3])
		}
		return model(ctx, p, x, v)
	}
	if err := d.Run(t.Context(), x, 0); err != nil || !slices.Equal(x[:3], d.Given) {
		t.Errorf("%v, %v", x, err)
	}
}

// TestKnownWindowsAreNotComputed, and those that are computed are learned.
func TestKnownWindowsAreNotComputed(t *testing.T) {
	tl := partition.Timeline{Frames: 12, PerFrame: 2, Window: 6, Overlap: 3}
	l := partition.Layout{Timeline: tl, Mesh: partition.Mesh{CFG: 1, Ulysses: 1}}
	learned := map[[2]int][]float32{}
	run := func(known func(step, window int) []float32) ([]float32, int) {
		calls := 0
		d := denoiser(t, 3, 1)
		d.Windows = NewWindows(l, 0, 1, nil)
		d.Known = known
		d.Learn = func(step, window int, v []float32) { learned[[2]int{step, window}] = slices.Clone(v) }
		d.Velocity = func(ctx context.Context, p Pass, x, v []float32) error {
			calls++
			return windowed(l, 0, 1)(ctx, p, x, v)
		}
		x := noise(l.Tokens())
		if err := d.Run(t.Context(), x, 0); err != nil {
			t.Fatal(err)
		}
		return x, calls
	}
	want, all := run(nil)
	got, some := run(func(step, window int) []float32 {
		if window == 1 {
			return learned[[2]int{step, window}]
		}
		return nil
	})
	if all != 9 || some != 6 || !slices.Equal(got, want) {
		t.Errorf("%d and %d passes; equal: %v", all, some, slices.Equal(got, want))
	}
}
