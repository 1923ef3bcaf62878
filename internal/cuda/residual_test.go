//go:build cuda

package cuda

import (
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

// skippedPass runs a pass that leaves its residual, and one of another latent and timestep that
// takes it in place of the blocks. It returns the second velocity and the distances of timesteps.
func skippedPass(t testing.TB, f *model.Folder, dt compute.DType, dev compute.Device) ([]float32,
	[]float64) {
	t.Helper()
	m, err := wan.Load(dev, f.Transformer, weights(t, f, "transformer"), dt)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Text(normal(5 * f.Transformer.TextDim))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Free()
	group, err := collective.NewGroup(mem.NewWorld(1, mem.Options{})[0], []int{0})
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.NewSequence(passGrid, group, partition.Even(passGrid.Tokens(), 1),
		partition.Even(f.Transformer.NumAttentionHeads, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	if s.Kept, err = s.NewResidual(); err != nil {
		t.Fatal(err)
	}
	defer s.Kept.Free()

	x := normal(passGrid.Tokens() * m.TokenWidth())
	v := make([]float32, len(x))
	ts := wan.Timesteps{Values: []float32{700}}
	if err := s.Forward(t.Context(), collective.Tag{}, x, v, ts, text); err != nil {
		t.Fatal(err)
	}
	for i := range x {
		x[i] *= 0.75
	}
	ts.Values[0] = 650
	if err := s.ForwardWith(t.Context(), s.Kept, x, v, ts); err != nil {
		t.Fatal(err)
	}
	distances, err := s.StepDistances([]float32{1000, 900, 850, 20})
	if err != nil {
		t.Fatal(err)
	}
	return v, distances
}

// TestSkippedPassesAgreeWithTheCPU in velocities, and in which passes those are.
func TestSkippedPassesAgreeWithTheCPU(t *testing.T) {
	f, err := model.Open(golden.Root("testdata", "golden", "tiny3"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		want, far := skippedPass(t, f, dt, openCPU(t))
		eachProduct(t, dt, func(t *testing.T) {
			got, distances := skippedPass(t, f, dt, openWith(t, Options{SlabBytes: 1, CopyBytes: 1000}))
			golden.Near(t, "velocity", got, want, bound(dt))
			for i, d := range distances {
				if d < far[i]*0.999 || d > far[i]*1.001 {
					t.Errorf("distance %d is %v, on the CPU %v", i, d, far[i])
				}
			}
		})
	}
}
