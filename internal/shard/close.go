package shard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/wire"
)

const (
	drainPoll    = 50 * time.Millisecond // between looks at whether the node is idle
	hungPatience = 2 * time.Second       // that Close waits for a rank that hangs
)

// Drain hands the node's work over to other shards, at a step boundary, and takes no new work. It
// returns when the shard is idle, or an error when ctx ends before. Once `within` is over the
// coordinators move the work without a boundary, from its latest checkpoint.
func (s *Shard) Drain(ctx context.Context, within time.Duration) error {
	s.leaving.Store(true)
	told := false
	for {
		if !told { // a leader, which may not be there yet
			a, err := ask[wire.Ack](ctx, s.nc, wire.SubjectLeave,
				wire.Leave{Node: s.id, Within: within})
			told = err == nil && a.OK
		}
		if s.current() == nil {
			return nil
		}

		select {
		case <-time.After(drainPoll):
		case <-s.ctx.Done():
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("shard %s is not drained: %w", s.cfg.Name, ctx.Err())
		}
	}
}

// Close says goodbye, ends the rank at work and frees everything. Where a rank hangs, Close returns
// without freeing what the rank uses; only the end of the process does.
func (s *Shard) Close() error {
	if s.nc != nil && s.nc.IsConnected() && s.Err() == nil {
		_, _ = ask[wire.Ack](context.Background(), s.nc, wire.SubjectGoodbye, s.goodbye())
	}

	// The rank ends last of all, while the data plane is still there to tell the other ranks.
	s.stop()
	if w := s.current(); w != nil {
		w.cancel(errors.New("the shard is stopping"))
	}
	ended := s.wait()

	s.cfg.Process.leave(s.id)
	if s.nc != nil {
		s.nc.Close()
	}
	if s.link != nil {
		s.link.close()
	}

	// A rank that hangs may still use the devices and the weights.
	if !ended {
		return nil
	}
	if s.shelf.engine != nil {
		s.shelf.engine.Close()
	}
	if s.decodeDev != nil {
		s.decodeDev.Close()
	}
	if s.dev != nil {
		s.dev.Close()
	}

	var err error
	for _, m := range s.models {
		err = errors.Join(err, m.folder.Close())
	}
	return err
}

// goodbye is the node's last word. A rank that is still at work counts up to now.
func (s *Shard) goodbye() wire.Goodbye {
	g := wire.Goodbye{Node: s.id}
	w := s.current()
	g.Ended, g.Metered = s.metered(w)
	if w != nil && !w.meter.isOver() && len(g.Ended) < wire.EndedLimit {
		g.Ended = append(g.Ended, wire.Ended{Work: w.name(), Usage: s.usage(w)})
	}
	return g
}

// wait waits for the shard's goroutines, but not for long where a rank hangs, and reports whether
// they have ended.
func (s *Shard) wait() bool {
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()

	// Without a rank that hangs all of them end soon, since their contexts have ended.
	if !s.hung.Load() {
		<-ended
		return true
	}

	// What hangs may still come back, for instance when a network disk does.
	select {
	case <-ended:
		return true
	case <-time.After(hungPatience):
		return false
	}
}

// fail ends the shard by itself and says why, in the log and by Err.
func (s *Shard) fail(err error) {
	s.log.Error("the shard ends", "shard", s.cfg.Name, "node", s.id, "reason", err)
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	s.stop()
}
