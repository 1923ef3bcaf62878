package target

import (
	"context"
	"io"

	"github.com/longtake/longtake/internal/job"
)

// Servers of two dialects keep their clips for a while, and send them to whoever asks by their id.
// The others send a clip once, with their answer.

// Fetch implements Fetcher. What is cut off in the middle is an error.
func (t *longtake) Fetch(ctx context.Context, id string, to io.Writer) error {
	in, err := t.client.Content(ctx, job.ID(id), "video")
	if err != nil {
		return t.failure(ctx, err)
	}
	defer in.Close()
	_, err = examine(in, t.o.ContentMax, to)
	return err
}

// Fetch implements Fetcher.
func (t *videos) Fetch(ctx context.Context, id string, to io.Writer) error {
	_, err := t.download(ctx, id, to, new(Outcome))
	return err
}
