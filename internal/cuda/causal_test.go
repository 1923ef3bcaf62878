//go:build cuda

package cuda

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// causalReach keeps a sink and rolls within the blocks of causalPass.
var causalReach = wan.Reach{Blocks: 2, Sink: 1}

// causalPasses runs a transformer over four blocks, on several ranks, and joins the velocities of
// the last.
func causalPasses(t testing.TB, f *model.Folder, dt compute.DType,
	devs []compute.Device) []float32 {
	t.Helper()
	n := len(devs)
	r := ranks{folder: f, grid: passGrid, dtype: dt, x: normal(passGrid.Tokens() * 64),
		embeds: normal(5 * f.Transformer.TextDim), tokens: partition.Even(passGrid.Tokens(), n),
		heads: partition.Even(f.Transformer.NumAttentionHeads, n)}
	r.v = make([]float32, len(r.x))

	w := weightsOfRanks(t, f, n)
	eachRank(t, n, func(i int, tr collective.Transport) error {
		return r.causalPass(devs[i], w[i], tr)
	})
	return r.v
}

// causalPass is one rank's part.
func (r ranks) causalPass(dev compute.Device, w *model.Weights, tr collective.Transport) error {
	m, err := wan.Load(dev, r.folder.Transformer, w, r.dtype)
	if err != nil {
		return err
	}
	text, err := m.Text(r.embeds)
	if err != nil {
		return err
	}
	defer text.Free()
	end, err := reserve(dev, m.CausalBytes(passGrid, tr.Rank(), r.tokens, r.heads, causalReach))
	if err != nil {
		return err
	}
	members := make([]int, tr.Size())
	for i := range members {
		members[i] = i
	}
	group, err := collective.NewGroup(tr, members)
	if err != nil {
		return err
	}
	s, err := m.NewCausalSequence(passGrid, group, r.tokens, r.heads, causalReach)
	if err != nil {
		return err
	}
	defer s.Free()

	own, width := r.tokens[tr.Rank()], m.TokenWidth()
	x, v := r.x[own.Lo*width:own.Hi*width], r.v[own.Lo*width:own.Hi*width]
	for block := range 4 {
		s.Begin(block)
		tag := collective.Tag{Step: uint32(block)} //nolint:gosec // few
		ts := wan.Timesteps{Values: []float32{700}}
		if err := s.Forward(context.Background(), tag, x, v, ts, text); err != nil {
			return errors.Join(err, end())
		}
	}
	return end()
}

// TestCachedBlocksAgreeWithTheCPU, and have the same bytes on several ranks.
func TestCachedBlocksAgreeWithTheCPU(t *testing.T) {
	f, err := model.Open(golden.Root("testdata", "golden", "tiny3"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		want := causalPasses(t, f, dt, []compute.Device{openCPU(t)})
		eachProduct(t, dt, func(t *testing.T) {
			gpu := openWith(t, Options{SlabBytes: 1, CopyBytes: 1000})
			got := causalPasses(t, f, dt, []compute.Device{gpu})
			golden.Near(t, "velocity", got, want, bound(dt))
			if dt == compute.BF16 {
				return
			}
			several := causalPasses(t, f, dt, openSeveral(t, 3, 1, "1"))
			if !bytes.Equal(tensor.Bytes(several), tensor.Bytes(got)) {
				t.Error("three ranks give other bytes than one")
			}
		})
	}
}
