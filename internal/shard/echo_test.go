package shard

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
)

// lateLink is a transport whose messages take a while on their way.
type lateLink struct {
	collective.Transport
	takes    []time.Duration // the first messages that arrive; the last one: all others, too
	received *atomic.Int32
}

func (s lateLink) Recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	data, err := s.Transport.Recv(ctx, from, tag)
	time.Sleep(s.takes[min(int(s.received.Add(1)), len(s.takes))-1])
	return data, err
}

// TestEchoesMeasureDelays has two nodes exchange small messages, on a clock of the test's own.
func TestEchoesMeasureDelays(t *testing.T) {
	ms := time.Millisecond
	late, stuck := 10*ms, 40*ms
	for name, c := range map[string]struct {
		takes  []time.Duration
		want   float64 // seconds
		arrive int32   // at rank 1: those to answer, and the one that ends them
	}{
		"a link":                        {[]time.Duration{late}, 0.01, 9},
		"a node that was busy":          {[]time.Duration{stuck, late, 2 * ms}, 0.002, 9},
		"a slow link, where one is all": {[]time.Duration{160 * ms}, 0.16, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			world := mem.NewWorld(2, mem.Options{})
			there := lateLink{world[1], c.takes, &atomic.Int32{}}
			var answered float64
			done := make(chan error)
			go func() {
				var err error
				answered, err = echo(t.Context(), there)
				done <- err
			}()
			sent, err := echo(t.Context(), lateLink{world[0], c.takes, &atomic.Int32{}})
			if other := <-done; err != nil || other != nil {
				t.Errorf("%s: %v, %v", name, err, other)
			}
			if sent != c.want || answered != c.want || there.received.Load() != c.arrive {
				t.Errorf("%s: %v s and %v s by %d messages; want %v by %d", name, sent, answered,
					there.received.Load(), c.want, c.arrive)
			}
		})
	}
}
