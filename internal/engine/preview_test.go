package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

func TestPaintLatent(t *testing.T) {
	g := partition.Grid{T: 2, H: 1, W: 2, PT: 1, PH: 1, PW: 1}
	l := model.LatentRGB{Factors: [][3]float32{{1, 0, 0}, {0, 0, 2}}, Bias: [3]float32{-1, -1, -1}}
	got, err := paintLatent([]float32{0, 1, 2, 2, 0, 0.5, 9, 9}, g, l)
	if err != nil {
		t.Fatal(err)
	}
	if got.W != 2*zoomMax || got.H != zoomMax {
		t.Fatalf("a picture of %dx%d", got.W, got.H)
	}
	f := func(x int, want ...uint8) {
		t.Helper()
		for y := range zoomMax {
			at := 3 * (y*got.W + x)
			if p := got.RGB[at : at+3]; fmt.Sprint(p) != fmt.Sprint(want) {
				t.Fatalf("pixel %d, %d is %v, want %v", x, y, p, want)
			}
		}
	}
	f(0, 0, 0, 0)
	f(zoomMax-1, 0, 0, 0)
	f(zoomMax, 128, 0, 128)
	f(2*zoomMax-1, 128, 0, 128)
}

// TestTheDemosPreviewLooksLikeItsClip paints the final latents of a golden and compares with its
// frames: each latent pixel with the average of what it stands for.
func TestTheDemosPreviewLooksLikeItsClip(t *testing.T) {
	m, err := model.Open(golden.Root("models", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	file := golden.Open(t, "e2e_short")
	s := spec(file)
	g := latentGrid(m, s)
	clip := file.Tensor("frames").Data
	var got, want []byte
	latent := file.Floats("latents")
	for i := range g.T {
		f, err := paintLatent(latent[i*g.H*g.W:], g, m.Defaults.LatentRGB)
		if err != nil {
			t.Fatal(err)
		}
		zoom := f.W / g.W
		for n := range g.H * g.W {
			x, y := n%g.W, n/g.W
			at := 3 * (y*zoom*f.W + x*zoom)
			got = append(got, f.RGB[at:at+3]...)
			want = append(want, average(clip, s, i, x, y)...)
		}
	}
	if p := golden.PSNR(got, want); !(p >= 15) {
		t.Errorf("PSNR %.1f dB is below 15", p)
	} else {
		t.Logf("PSNR %.1f dB", p)
	}
}

// average is the mean colour of the 8x8 pixels and the frames that a latent pixel stands for.
func average(clip []byte, s job.Spec, latentFrame, x, y int) []byte {
	from, to := 4*latentFrame-3, 4*latentFrame+1
	var sum [3]int
	n := 0
	for f := max(from, 0); f < to; f++ {
		for i := range 64 {
			at := 3 * ((f*s.Height+8*y+i/8)*s.Width + 8*x + i%8)
			for c := range sum {
				sum[c] += int(clip[at+c])
			}
			n++
		}
	}
	return []byte{byte(sum[0] / n), byte(sum[1] / n), byte(sum[2] / n)}
}

// TestPreviewsCome counts those of an attempt: the first checkpoint's, then one in every few, and
// the last.
func TestPreviewsCome(t *testing.T) {
	for _, m := range partMeshes {
		a := newAttempts(t, m)
		a.plan.Spec.Steps, a.plan.CheckpointEvery, a.plan.PreviewEvery = 6, 1, 2
		var steps []int
		a.preview = func(_ context.Context, step int, data []byte) error {
			if !media.IsAnimation(data) {
				t.Errorf("step %d: %.20q", step, data)
			}
			steps = append(steps, step)
			return nil
		}
		if a.run(); len(steps) == 0 || steps[0]%2 != 1 && steps[0] != 6 || len(a.notes) > 0 {
			t.Errorf("previews of steps %v, notes %v", steps, a.notes)
		}
		a.plan.CheckpointEvery, steps, a.parts = 0, nil, nil
		if a.run(); len(steps) > 0 {
			t.Errorf("without checkpoints there were previews of steps %v", steps)
		}
	}
}

// TestPreviewsRest wants none between the first and the last of a clip that takes less than
// previewShare times what one of them takes.
func TestPreviewsRest(t *testing.T) {
	a := newAttempts(t, job.Mesh{CFG: 1, Ulysses: 1})
	a.plan.Spec.Steps, a.plan.CheckpointEvery, a.plan.PreviewEvery = 12, 1, 1
	var steps []int
	a.preview = func(_ context.Context, step int, _ []byte) error {
		steps = append(steps, step)
		return nil
	}
	if a.run(); len(steps) == 0 || len(steps) > 2 || len(steps) == 2 && steps[1] != 12 {
		t.Errorf("previews of steps %v; want one, and the last step's", steps)
	}
}

// TestPreviewsFollowAClip: of a clip of some seconds there is one a second or so, whose steps grow,
// and the last one; what they take is bounded.
func TestPreviewsFollowAClip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const steps, step, cost = 20, 600 * time.Millisecond, 30 * time.Millisecond
		s := &saver{views: make(chan sketch, 1), r: &run{Assignment: Assignment{
			Plan: job.Plan{Spec: job.Spec{Steps: steps}}}}}
		s.ctx, s.stop = context.WithCancel(t.Context())
		var shown []int
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.view(func(k sketch) time.Duration {
				time.Sleep(cost)
				shown = append(shown, k.step)
				return cost
			})
		}()
		for i := range steps {
			time.Sleep(step)
			select {
			case <-s.views:
			default:
			}
			s.views <- sketch{step: i + 1}
		}
		time.Sleep(cost)
		synctest.Wait()
		s.stop()
		<-done
		if n := len(shown); n < steps/2-1 || time.Duration(n-1)*cost > steps*step/(previewShare-2) ||
			shown[0] != 1 || shown[n-1] != steps || !slices.IsSorted(shown) {
			t.Errorf("previews of steps %v", shown)
		}
	})
}
