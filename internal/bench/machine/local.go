package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/shard"
)

// Here is a Runner that makes clips on a cluster in this process, whose ranks exchange over NATS.
func Here(ctx context.Context, dir string, ranks, threads int, r job.Request) (clip Clip,
	err error) {
	c := local.Config{Models: []shard.ModelDir{{Dir: dir}}, Shards: ranks, Threads: threads,
		Transport: "nats", DType: "fp32", Listen: "127.0.0.1:0", Auth: api.OpenAuth(),
		Log: slog.New(slog.DiscardHandler)}
	cluster, err := local.Start(ctx, c)
	if err != nil {
		return clip, err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	cl, err := client.New(cluster.URL, nil)
	if err != nil {
		return clip, err
	}

	// The first clip loads the model and connects the ranks.
	for range 2 {
		v, err := cl.Create(ctx, r)
		if err == nil {
			v, err = cl.Watch(ctx, v.ID, func(schema.Video) {})
		}
		if err != nil {
			return clip, err
		}
		if v.Error != nil {
			return clip, fmt.Errorf("job %s: %s", v.ID, v.Error.Message)
		}
		clip.Result = *v.Details.Result
		clip.Total = v.Details.Finished.Sub(v.Details.Started).Seconds()
	}
	return clip, nil
}
