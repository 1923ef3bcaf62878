package engine

import (
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
)

// latentGrid returns the latent of a clip and the patches the model cuts it into.
func latentGrid(f *model.Folder, s job.Spec) partition.Grid {
	return plan.Grid(job.Model{Patch: f.Transformer.PatchSize,
		TemporalScale: f.VAE.TemporalScale(), SpatialScale: f.VAE.SpatialScale()}, s)
}
