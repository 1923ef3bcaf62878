package shard

import (
	"sync"
	"time"

	"github.com/longtake/longtake/internal/compute"
)

// activity tells a rank that computes from one that waits for others. Heartbeats carry it, so that
// the leader finds the one rank that hangs, however many wait for it.
type activity struct {
	mu      sync.Mutex
	waiting int       // calls that wait for others
	since   time.Time // of the last sign of getting on
	seen    [2]uint64 // what devices said of it
}

// watch takes it for a sign of progress when a device has done some of an operation since the last
// look: a layer of a large clip may take half an hour.
func (a *activity) watch(devices ...compute.Device) {
	for i, dev := range devices {
		p, ok := dev.(interface{ Progress() uint64 })
		if !ok {
			continue
		}
		if now := p.Progress(); now != a.seen[i] {
			a.seen[i] = now
			a.advances()
		}
	}
}

// advances notes that the rank came a step further.
func (a *activity) advances() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Now()
}

// waits notes that the rank waits for others until the function it returns is called.
func (a *activity) waits() (done func()) {
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

// computing returns for how long the rank has computed without a sign of getting on.
func (a *activity) computing() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting > 0 || a.since.IsZero() {
		return 0
	}
	return time.Since(a.since)
}
