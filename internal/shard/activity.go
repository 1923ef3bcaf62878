package shard

import (
	"sync"
	"time"

	"github.com/longtake/longtake/internal/compute"
)

// activity tells a rank that computes from one that waits for others. Heartbeats carry it, so that
// the leader finds the one rank that hangs, however many wait for it. The rank notes what it does,
// from several goroutines; the one that sends heartbeats reads it.
type activity struct {
	mu      sync.Mutex
	waiting int       // calls that wait for others
	since   time.Time // of the last sign of progress; zero: the rank has not begun
	seen    [2]uint64 // the progress of each device at the last look
}

// watch looks at whether devices have done some of an operation since the last look, which is a
// sign of progress: a layer of a large clip may take half an hour. The devices are the same in each
// call.
func (a *activity) watch(devices ...compute.Device) {
	for i, dev := range devices {
		p, ok := dev.(interface{ Progress() uint64 })
		if !ok {
			continue
		}
		if now := p.Progress(); now != a.seen[i] {
			a.seen[i] = now
			a.progressed()
		}
	}
}

// progressed notes a sign of progress.
func (a *activity) progressed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Now()
}

// wait notes that the rank waits for others until the function it returns is called. Waits may
// overlap.
func (a *activity) wait() (done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.waiting--
		a.since = time.Now()
	}
}

// computing returns for how long the rank has computed without a sign of progress; 0 while it waits
// for others, or has not begun.
func (a *activity) computing() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting > 0 || a.since.IsZero() {
		return 0
	}
	return time.Since(a.since)
}
