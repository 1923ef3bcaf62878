package plan

import (
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// Grid returns the latent of a clip, [T, H, W], and the patches that the model cuts it into.
func Grid(m job.Model, s job.Spec) partition.Grid {
	return partition.Grid{T: m.Latents(s.Frames), H: s.Height / m.SpatialScale,
		W: s.Width / m.SpatialScale, PT: m.Patch[0], PH: m.Patch[1], PW: m.Patch[2]}
}

// Denoised returns the latent that the steps work on: the clip's, after its reference pictures.
func Denoised(m job.Model, s job.Spec) partition.Grid {
	g := Grid(m, s)
	g.T += s.References()
	return g
}

// Timeline returns the windows of a clip whose latent is g: made together, or one after the other
// behind what the clip starts from.
func Timeline(g partition.Grid, s job.Spec) partition.Timeline {
	if s.Causal != nil {
		t := g.Timeline(s.Causal.Block, 0, false)
		t.Extend = true
		return t
	}
	t := g.Timeline(s.Window, s.Overlap, s.Schedule == job.ScheduleUniform)
	t.Extend, t.Given = s.Long == job.LongExtend, s.Given()/g.PT
	return t
}

// Load returns what a mesh has to carry in one denoising step of a job. Of a clip that is extended
// window by window it is one window, since only one is in work at a time.
func Load(m job.Model, s job.Spec) partition.Load {
	grid := Denoised(m, s)
	switch {
	case s.Causal != nil:
		grid.T, s.Causal, s.Window = s.Causal.Block, nil, 0
	case s.Long == job.LongExtend:
		grid.T, s.Long, s.Inputs = s.Window, job.LongWindows, nil
	}
	element := 4 // bytes of a float32; fp8 sends bfloat16, too
	if s.DType == "bf16" || s.DType == "fp8" {
		element = 2
	}
	return partition.Load{Timeline: Timeline(grid, s), Heads: m.Heads, HeadDim: m.HeadDim,
		Layers: m.Layers, Guided: s.Guided(), ElementBytes: element,
		TokenWidth: m.LatentChannels * m.Patch[0] * m.Patch[1] * m.Patch[2]}
}

// Check reports whether a mesh can run a job. The error says what is allowed.
func Check(m job.Model, s job.Spec, mesh job.Mesh) error {
	return partition.Check(mesh, Load(m, s))
}

// Mesh arranges a job on at most free nodes: the mesh that it asks for, the best one of the number
// of shards that it asks for, or the best of up to free. Among meshes of one size, those that need
// more than memory bytes of a node are for want of others only; memory 0 is not known. An error
// says what is allowed instead; the caller knows which field was asked for and names it.
func Mesh(m job.Model, s job.Spec, free int, memory int64) (job.Mesh, error) {
	if s.Mesh != (job.Mesh{}) {
		return s.Mesh, Check(m, s, s.Mesh)
	}
	load := Load(m, s)
	if memory > 0 {
		load.Fits = func(mesh job.Mesh) bool { return MemoryOf(m, s, mesh).Least() <= memory }
	}
	if s.Shards > 0 {
		return partition.Choose(s.Shards, load)
	}
	return partition.ChooseUpTo(max(free, 1), load), nil
}
