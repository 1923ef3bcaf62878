package shard

import (
	"cmp"
	"fmt"
	"time"
)

// A rank that is told to stop does so within a second or two. One that has not after fenceAfter is
// held up by its device or its disk: the shard stays registered, as busy, and waits. After
// fenceFactor times that it ends, since only another process can use the device again.
const (
	fenceAfter  = 30 * time.Second
	fenceFactor = 4
)

// fence watches a rank that was told to stop, in a goroutine that begins when the rank's context
// ends. It ends the shard where the rank does not return.
func (s *Shard) fence(w *work) {
	wait := cmp.Or(s.cfg.fenceAfter, fenceAfter)
	if w.returnsWithin(wait) {
		return
	}

	p := w.order.Plan
	log := s.log.With("shard", s.cfg.Name, "job", p.Job, "attempt", p.Attempt)
	log.Error("a rank was told to stop and has not; the shard takes no work until it has, and ends "+
		"if that takes too long", "after", wait, "most", fenceFactor*wait)
	if w.returnsWithin((fenceFactor - 1) * wait) {
		log.Info("the rank has stopped; the shard takes work again")
		return
	}

	s.hung.Store(true)
	s.fail(fmt.Errorf("shard %s: job %s attempt %d was told to stop and hangs; the process has to "+
		"start again", s.cfg.Name, p.Job, p.Attempt))
}

// returnsWithin waits for the rank's return, and reports whether it came in time.
func (w *work) returnsWithin(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.returned:
		return true
	case <-t.C:
		return false
	}
}
