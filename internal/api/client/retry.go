package client

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
)

// again repeats f while the coordinator is away, has no leader or no shard yet, for retryTime at
// most. What f does has to be safe to repeat: creates go under a key.
func again(ctx context.Context, f func() (schema.Video, error)) (schema.Video, error) {
	for end := time.Now().Add(retryTime); ; {
		v, err := f()
		if err == nil || !passing(err) || time.Now().After(end) || ctx.Err() != nil {
			return v, err
		}
		if serr := Pause(ctx, retryPause); serr != nil {
			return v, serr
		}
	}
}

// passing reports whether an error may go away by itself: nobody answers, or one says 503. A 429, a
// full queue, is not one of them: it lasts for as long as clips take.
func passing(err error) bool {
	var e *schema.Error
	if errors.As(err, &e) {
		return e.Status == http.StatusServiceUnavailable
	}
	var u *UnreachableError
	return errors.As(err, &u)
}

// Pause waits for d, or returns ctx's error if that ends before.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
