package shard

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/testlog"
)

// TestShardsServeAgainAfterAHugeJob cancels a clip that a step of takes minutes, after one of its
// shards was taken out by force: both are there afterwards, and make the clip that they made
// before.
func TestShardsServeAgainAfterAHugeJob(t *testing.T) {
	k := startCluster(t, 2, ownServers)
	r := request(5, 2, 2, job.Mesh{})
	latents := k.undisturbed(r)
	wide, high, frames := 1024, 720, 33
	big := r
	big.Width, big.Height, big.Frames, big.Force = &wide, &high, &frames, true
	for _, drain := range []bool{false, true} {
		id := k.create(big)
		k.await(id, denoising)
		if drain {
			if _, err := k.c.DrainNode(t.Context(), "s0", 0); err != nil {
				t.Fatal(err)
			}
			k.await(id, func(v coord.View) bool { return v.Attempt == 2 && denoising(v) })
		}
		if _, err := k.c.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if v := k.await(id, never); v.State != job.Cancelled {
			t.Fatalf("the job is %s: %s", v.State, v.Error)
		}
		if drain {
			if _, err := k.c.UndrainNode(t.Context(), "s0"); err != nil {
				t.Fatal(err)
			}
		}
		k.completed(k.create(r), latents)
	}
	for _, s := range k.shards {
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	}
}

// TestARankThatReturnsLateIsNoLoss has a rank that was told to stop return after the shard said
// ERROR, and another one not at all: that shard ends, and says why at ERROR too.
func TestARankThatReturnsLateIsNoLoss(t *testing.T) {
	for _, returns := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var errs testlog.Buffer
			log := slog.New(slog.NewTextHandler(&errs, &slog.HandlerOptions{Level: slog.LevelError}))
			s := &Shard{log: log, cfg: Config{Name: "s"}}
			s.ctx, s.stop = context.WithCancel(t.Context())
			w := &work{returned: make(chan struct{})}
			go s.fence(w)
			time.Sleep(2 * fenceAfter)
			synctest.Wait()
			if n := errs.Count("level=ERROR"); n != 1 || s.Err() != nil {
				t.Errorf("%d errors are told, the shard ends with %v", n, s.Err())
			}
			if returns {
				close(w.returned)
			}
			time.Sleep(fenceFactor * fenceAfter)
			synctest.Wait()
			said := strings.Contains(errs.String(), "the shard ends")
			if ended := s.Err() != nil; ended == returns || ended != said {
				t.Errorf("returned %v: the shard ends with %v: %s", returns, s.Err(), errs.String())
			}
			s.stop()
		})
	}
}

// TestALayerThatTakesLongIsNoHang looks at a rank whose device works on one operation.
func TestALayerThatTakesLongIsNoHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := &slow{}
		var a activity
		a.progressed()
		for range 10 {
			time.Sleep(time.Minute)
			dev.done++
			a.watch(dev, dev)
			if d := a.computing(); d > 0 {
				t.Fatalf("it hangs since %v", d)
			}
		}
		time.Sleep(time.Minute)
		a.watch(dev, dev)
		if d := a.computing(); d != time.Minute {
			t.Errorf("a device that does nothing any more hangs since %v", d)
		}
	})
}

// slow is a device that says how far it is.
type slow struct {
	compute.Device
	done uint64
}

func (s *slow) Progress() uint64 { return s.done }

// TestRoomIsShared among the shards of a process, and is less than the machine has.
func TestRoomIsShared(t *testing.T) {
	total := machineMemory()
	if total == 0 {
		t.Skip("this machine does not tell its memory")
	}
	one, two := memoryLeft(1), memoryLeft(2)
	if one < 1 || one >= total || two > one*3/5 {
		t.Errorf("one shard has %d bytes of %d, one of two %d", one, total, two)
	}
}
