package local

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// stub is a shard that ends when it is told to.
type stub struct {
	done   chan struct{}
	err    error
	closed bool
}

func (s *stub) Name() string          { return "s" }
func (s *stub) Done() <-chan struct{} { return s.done }
func (s *stub) Err() error            { return s.err }
func (s *stub) Close() error {
	s.closed = true
	return nil
}

func (s *stub) end(err error) {
	s.err = err
	close(s.done)
}

// TestAShardThatEndsIsStartedAgain ends a shard three times; the second time starting it again
// fails at first. Every one is closed before its successor starts, and one that was closed has none.
func TestAShardThatEndsIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []*stub
		refusals := 0
		k := &keeper{log: slog.New(slog.DiscardHandler)}
		k.start = func(context.Context) (runner, error) {
			if refusals > 0 {
				refusals--
				return nil, errors.New("no memory")
			}
			if n := len(all); n > 0 && !all[n-1].closed {
				t.Error("two of them run at a time")
			}
			all = append(all, &stub{done: make(chan struct{})})
			return all[len(all)-1], nil
		}
		if err := k.first(t.Context()); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		go func() {
			k.keep(t.Context())
			close(over)
		}()
		for i := range 3 {
			if i == 1 {
				refusals = 2
			}
			all[i].end(errors.New("it hangs"))
			time.Sleep(8 * restartFirst) // after 1 s; 2, 4 s and 8 s
			if i == 1 {
				time.Sleep(8 * restartFirst)
			}
			if i == 2 {
				time.Sleep(restartMost)
			}
			synctest.Wait()
			if len(all) != i+2 || k.current() != all[i+1] {
				t.Fatalf("%d shards were started after %d ends", len(all), i+1)
			}
		}
		all[3].end(nil)
		<-over
	})
}
