package engine

import (
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

// Timeline returns the windows of a clip whose latent is g.
func Timeline(g partition.Grid, s job.Spec) partition.Timeline {
	t := g.Timeline(s.Window, s.Overlap, s.Schedule == job.ScheduleUniform)
	t.Extend, t.Given = s.Long == job.LongExtend, s.Start.Latents/g.PT
	return t
}

// LatentGrid returns the latent of a clip and the patches the model cuts it into.
func LatentGrid(f *model.Folder, s job.Spec) partition.Grid {
	p := f.Transformer.PatchSize
	space := f.VAE.SpatialScale()
	return partition.Grid{
		T: f.VAE.LatentFrames(s.Frames), H: s.Height / space, W: s.Width / space,
		PT: p[0], PH: p[1], PW: p[2],
	}
}
