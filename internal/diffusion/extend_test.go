package diffusion

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/partition"
)

// extender makes clips of three windows of 4 latent frames that overlap by 2, on one rank. The
// velocity of a token is a half of its value; whatever follows a step is called with steps of the
// clip.
func extender(t *testing.T, given int, after func(done int) error) (*Extender, []float32) {
	t.Helper()
	const channels, steps = 2, 3
	g := partition.Grid{T: 8, H: 2, W: 2, PT: 1, PH: 2, PW: 2}
	line := g.Timeline(4, 2, false)
	line.Extend, line.Given = true, given
	l := partition.Layout{Timeline: line, Mesh: partition.Mesh{CFG: 1, Ulysses: 1}}
	held := NewWindows(l, 0, channels*g.PH*g.PW, nil)
	e := &Extender{Layout: l, Held: held, Grid: g, Channels: channels, Steps: steps,
		Noise: NewGenerator(7),
		NewScheduler: func() (Scheduler, error) {
			return NewScheduler(KindEuler, steps, 3,
				SchedulerConfig{Class: ClassEuler, FlowShift: 3, TrainTimesteps: 1000})
		},
		Swap: func(context.Context, int, []float32) error { return nil },
		Denoiser: func(w, _ int, _ []float32, _ Scheduler) (*Denoiser, error) {
			return &Denoiser{
				Velocity: func(_ context.Context, _ Pass, x, v []float32) error {
					for i := range x {
						v[i] = x[i] / 2
					}
					return nil
				},
				OnStep: func(done int, _ time.Duration) error { return after(w*steps + done) }}, nil
		}}
	return e, make([]float32, held.Values())
}

// TestExtenderResumesAtAnyStep stops a clip after each of its steps and wants another Extender to
// go on to the same values.
func TestExtenderResumesAtAnyStep(t *testing.T) {
	e, want := extender(t, 0, func(int) error { return nil })
	total := e.Steps * len(e.Layout.Windows(0))
	if err := e.Run(t.Context(), want, 0); err != nil {
		t.Fatal(err)
	}

	stop := errors.New("enough")
	for at := 1; at <= total; at++ {
		first, x := extender(t, 0, func(done int) error {
			if done == at {
				return stop
			}
			return nil
		})
		if err := first.Run(t.Context(), x, 0); !errors.Is(err, stop) {
			t.Fatalf("step %d: %v", at, err)
		}
		second, _ := extender(t, 0, func(int) error { return nil })
		if err := second.Restore(at, nil); err != nil { // Euler keeps nothing
			t.Fatalf("step %d: %v", at, err)
		}
		if err := second.Run(t.Context(), x, at); err != nil {
			t.Fatalf("step %d: %v", at, err)
		}
		if !slices.Equal(x, want) {
			t.Errorf("resumed after step %d the clip differs", at)
		}
	}
}

// TestExtenderLeavesWhatIsGiven wants the given frames untouched, and where they end with a window
// the clip of one go.
func TestExtenderLeavesWhatIsGiven(t *testing.T) {
	none := func(int) error { return nil }
	e, want := extender(t, 0, none)
	if err := e.Run(t.Context(), want, 0); err != nil {
		t.Fatal(err)
	}
	for _, given := range []int{2, 3, 4, 6} {
		e, x := extender(t, given, none)
		first := e.Layout.Windows(0)[0].Lo // the clip's windows begin there, and so does what is held
		width := len(x) / (8 - first)
		known := want[first*width : given*width]
		copy(x, known)
		if err := e.Run(t.Context(), x, 0); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(x[:len(known)], known) {
			t.Errorf("%d given frames have changed", given)
		}
		if aligned := given >= 4 && given%2 == 0; aligned && !slices.Equal(x, want[first*width:]) {
			t.Errorf("after %d given frames the clip differs from the one made in one go", given)
		}
	}
}
