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

// runner is what keeper keeps running: a *shard.Shard.
type runner interface {
	Name() string
	Done() <-chan struct{}
	Err() error // why it ended by itself, nil where it was closed
	Close() error
}

// keeper starts a shard, and another one in its place whenever it ends by itself.
type keeper struct {
	start func(ctx context.Context) (runner, error)
	log   *slog.Logger

	mu  sync.Mutex
	now runner // nil before the first
}

// first starts the shard for the first time.
func (k *keeper) first(ctx context.Context) error {
	r, err := k.start(ctx)
	if err == nil {
		k.set(r)
	}
	return err
}

func (k *keeper) set(r runner) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = r
}

func (k *keeper) current() runner {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// keep returns when ctx has ended, or the shard was closed.
func (k *keeper) keep(ctx context.Context) {
	pause := restartFirst
	for begun := time.Now(); ; begun = time.Now() {
		r := k.current()
		select {
		case <-ctx.Done():
			return
		case <-r.Done():
		}
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

// again tries to start another one until that works, or ctx ends.
func (k *keeper) again(ctx context.Context, wait *time.Duration) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(*wait):
		}
		*wait = min(2**wait, restartMost)
		r, err := k.start(ctx)
		if err == nil {
			k.set(r)
			return true
		}
		k.log.Error("cannot start a shard again", "error", err, "pause", *wait)
	}
}

// close ends the shard at hand.
func (k *keeper) close() {
	if r := k.current(); r != nil {
		r.Close() //nolint:errcheck // the process goes on without it
	}
}
