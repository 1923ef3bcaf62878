package plan

import (
	"errors"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// Load returns what a mesh has to carry in one denoising step of a job. A clip that is extended
// window by window is split as one of its windows is, since only one is in work at a time.
func Load(m job.Model, s job.Spec) partition.Load {
	element := 4
	if s.DType == "bf16" {
		element = 2
	}
	frames := m.Latents(s.Frames)
	if s.Long == job.LongExtend {
		frames = s.Window
	}

	grid := partition.Grid{T: frames, H: s.Height / m.SpatialScale, W: s.Width / m.SpatialScale,
		PT: m.Patch[0], PH: m.Patch[1], PW: m.Patch[2]}
	timeline := grid.Timeline(s.Window, s.Overlap, s.Schedule == job.ScheduleUniform)
	return partition.Load{Timeline: timeline, Heads: m.Heads,
		HeadDim: m.HeadDim, Layers: m.Layers, Guided: s.Guided(), ElementBytes: element,
		TokenWidth: m.LatentChannels * m.Patch[0] * m.Patch[1] * m.Patch[2]}
}

// Mesh arranges a job on at most free nodes: the mesh that it asks for, the best one of the number
// of shards that it asks for, or the best of up to free. An error says what is allowed instead; the
// caller knows which field was asked for and names it.
func Mesh(m job.Model, s job.Spec, free int) (job.Mesh, error) {
	load := Load(m, s)
	if s.Mesh != (job.Mesh{}) {
		return s.Mesh, bare(partition.Check(partition.Mesh(s.Mesh), load), "mesh: ")
	}
	if s.Shards > 0 {
		mesh, err := partition.Choose(s.Shards, load)
		return job.Mesh(mesh), bare(err, "shards: ")
	}
	return job.Mesh(partition.ChooseUpTo(max(free, 1), load)), nil
}

// bare takes the field's name off the planner's error, since the caller adds it.
func bare(err error, prefix string) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), prefix))
}
