package local

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A shard that ended by itself is started again after restartFirst, then after twice as long, up to
// restartMost. One that ran for that long begins at restartFirst.
const (
	restartFirst = time.Second
	restartMost  = time.Minute
)

// runner is what a keeper keeps running: a *shard.Shard, or a stand-in in tests.
type runner interface {
	Name() string
	Done() <-chan struct{}
	Err() error // why it ended by itself, nil where it was closed
	Close() error
}

// keeper starts a shard, and another one in its place whenever it ends by itself: a process for a
// user alone has nobody to restart it.
type keeper struct {
	start func(ctx context.Context) (runner, error)
	log   *slog.Logger

	mu  sync.Mutex
	now runner // nil before the first
}

// first starts the shard for the first time. Its error ends the start of the cluster.
func (k *keeper) first(ctx context.Context) error {
	r, err := k.start(ctx)
	if err == nil {
		k.set(r)
	}
	return err
}

// set makes r the current shard.
func (k *keeper) set(r runner) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = r
}

// current is the shard that runs, or that ended last; nil before the first.
func (k *keeper) current() runner {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// keep starts the shard again whenever it ends with an error. It returns when ctx has ended, or
// when the shard was closed. One goroutine runs it.
func (k *keeper) keep(ctx context.Context) {
	pause := restartFirst
	for begun := time.Now(); ; begun = time.Now() {
		r := k.current()
		select {
		case <-ctx.Done():
			return
		case <-r.Done():
		}

		// It was closed.
		if r.Err() == nil {
			return
		}
		if time.Since(begun) > restartMost {
			pause = restartFirst
		}

		k.log.Error("a shard ended and is started again", "shard", r.Name(), "reason", r.Err(),
			"pause", pause)
		r.Close() //nolint:errcheck // it has ended, and why is told
		if !k.again(ctx, &pause) {
			return
		}
	}
}

// again tries to start another one until that works, doubling the pause from try to try, or until
// ctx ends, for which it returns false.
func (k *keeper) again(ctx context.Context, wait *time.Duration) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(*wait):
		}
		// The pause is doubled before the try, so that the error below says how long the next one takes.
		*wait = min(2**wait, restartMost)
		r, err := k.start(ctx)
		if err == nil {
			k.set(r)
			return true
		}
		k.log.Error("cannot start a shard again", "error", err, "pause", *wait)
	}
}

// close ends the current shard.
func (k *keeper) close() {
	if r := k.current(); r != nil {
		r.Close() //nolint:errcheck // the process goes on without it
	}
}
