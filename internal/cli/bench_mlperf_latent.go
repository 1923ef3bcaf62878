package cli

import (
	"context"
	"io"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/bench/mlperf"
	"github.com/longtake/longtake/internal/job"
)

// The task's latent goes with every request, as MLPerf's client for endpoints sends its path with
// every one: a server has to be ready for clips that begin in different ways.

// It is opened once and read from its beginning for each request. That the server gets it counts in
// the latency of a clip, as the decoding of a picture does in that of a clip which begins with one.
// The task's has 19 MB in float32.

// latentsSent is how many requests send the latent at a time: a coordinator takes eight files at
// once, and Offline asks for all clips at once.
const latentsSent = 4

// readLatent opens the file of the latent; "" is none.
func (b *mlperfBench) readLatent(ctx context.Context, path string) error {
	b.sending = make(chan struct{}, latentsSent)
	if path == "" {
		return nil
	}
	field, _ := job.LookupField(job.LatentField)
	b.latent.files = []*inputFile{{flag: "latent", field: field, path: path}}
	if err := b.latent.open(ctx); err != nil {
		return err
	}

	// What MLPerf has in its repository is known by the name that git has for it.
	file := b.latent.files[0].input
	info, err := file.Stat()
	if err == nil {
		b.task.Latent, err = mlperf.BlobID(io.NewSectionReader(file, 0, info.Size()), info.Size())
	}
	return err
}

// checkLatent wants the latent to be one of the task's clips, before the first of them: the model
// is known only when the cluster has been asked, and so is the shape.
func (b *mlperfBench) checkLatent(ctx context.Context) error {
	if b.task.Latent == "" {
		return nil
	}
	r, err := b.latent.request(ctx, b.task.Clip, b.to.Model)
	if err == nil {
		_, err = b.to.Model.Resolve(r.Unstored(), nil)
	}
	return err
}

// queue creates a clip, with the latent if there is one. It may be called by many goroutines.
func (b *mlperfBench) queue(ctx context.Context, c *client.Client, r job.Request) (schema.Video,
	error) {
	if b.task.Latent == "" {
		return c.Create(ctx, r)
	}
	select {
	case b.sending <- struct{}{}:
	case <-ctx.Done():
		return schema.Video{}, context.Cause(ctx)
	}
	defer func() { <-b.sending }()
	return b.latent.queue(ctx, c, r)
}
