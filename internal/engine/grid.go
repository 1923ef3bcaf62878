package engine

import (
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
)

// latentGrid returns the latent of a clip, [T, H, W], and the patches that the model cuts it into:
// a token is PT x PH x PW values of each channel.
func latentGrid(f *model.Folder, s job.Spec) partition.Grid {
	return plan.Grid(job.Model{Patch: f.Transformer.PatchSize,
		TemporalScale: f.VAE.TemporalScale(), SpatialScale: f.VAE.SpatialScale()}, s)
}

// denoisedGrid returns the latent that the steps work on: that of latentGrid, and a frame before it
// for each reference picture.
func denoisedGrid(f *model.Folder, s job.Spec) partition.Grid {
	g := latentGrid(f, s)
	g.T += s.References()
	return g
}
