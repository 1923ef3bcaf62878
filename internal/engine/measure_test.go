package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
)

// TestTheControlPlaneKnowsTheMemory compares what the planner says of a clip with what the engine
// would allocate for it: the transformer's own count, and a decoded frame.
func TestTheControlPlaneKnowsTheMemory(t *testing.T) {
	e := engine(t, 1, "models", "demo")
	m, err := Describe(e.folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ width, height, frames, ulysses int }{
		{96, 64, 33, 1}, {480, 320, 17, 1}, {480, 320, 17, 2}, {640, 384, 33, 3}, {640, 384, 33, 8},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			s, err := m.Resolve(job.Request{Width: &c.width, Height: &c.height, Frames: &c.frames}, nil)
			if err != nil {
				t.Fatal(err)
			}
			mesh := job.Mesh{CFG: 1, Ulysses: c.ulysses}
			got := plan.MemoryOf(m, s, mesh)

			// On top of the pass come copies of the latent, and what is on its way between ranks: at
			// most q, k and v, out and in.
			g := plan.Grid(m, s)
			dit := wan.Outline(e.folder.Transformer, compute.FP32)
			r := &run{e: e, Assignment: Assignment{Plan: job.Plan{Spec: s, Mesh: mesh}}}
			want := dit.SequenceBytes(g, 0, partition.Even(g.Tokens(), c.ulysses), r.headRanges())
			if got.Denoise < want || got.Denoise > want*17/10 {
				t.Errorf("denoising %d bytes; the pass alone %d", got.Denoise, want)
			}
			rows := partition.Even(g.H, c.ulysses)[c.ulysses/2]
			band, err := e.decoder.NewBand(g.H, g.W, rows)
			if err != nil {
				t.Fatal(err)
			}
			decode, err := band.Bytes(g.T)
			if err != nil {
				t.Fatal(err)
			}
			frames := int64(4 * 4 * 9 * s.Width * s.Height)
			if d := float64(got.Decode-frames) / float64(decode); d < 0.9 || d > 1.1 {
				t.Errorf("decoding %d bytes; the device allocates %d", got.Decode-frames, decode)
			}
		})
	}
}

// TestLoRAsTakeFloat32 where the model's file has matrices of two bytes.
func TestLoRAsTakeFloat32(t *testing.T) {
	e := engine(t, 1, "models", "demo")
	m, err := Describe(e.folder)
	if err != nil {
		t.Fatal(err)
	}
	s := job.Spec{DType: "fp32"}
	plain, _ := m.Cost.Memory.WeightsOf(s)
	s.LoRAs = []job.LoRA{{Name: "paint", Scale: 1}}
	with, _ := m.Cost.Memory.WeightsOf(s)
	matrices := int64(0)
	for _, shape := range e.folder.Transformer.Shapes() {
		if len(shape) == 2 {
			matrices += int64(shape.Elements())
		}
	}
	if with-plain != 2*matrices {
		t.Errorf("%d bytes with a LoRA, %d without; %d numbers of matrices", with, plain, matrices)
	}
}

// TestTypesOfJobsAreThoseOfDevices: package job is pure and has a list of its own.
func TestTypesOfJobsAreThoseOfDevices(t *testing.T) {
	if !slices.Equal(job.DTypes, compute.DTypeNames()) {
		t.Errorf("jobs may ask for %v, devices have %v", job.DTypes, compute.DTypeNames())
	}
}
