package main

import (
	"encoding/json"
	"math"
	"sync"
	"time"
)

// accounts are the shards' own accounts of what their ranks have had of their devices, by node:
// each process counts for itself, from its start to its end. They are read while the cluster runs,
// as the account of a process that is killed goes with it; what it did since its last heartbeat
// nobody knows.
type accounts struct {
	c    *chaos
	stop chan struct{}
	done sync.WaitGroup

	mu sync.Mutex
	of map[string]float64 // seconds
}

// watchAccounts reads the accounts until check is called.
func (c *chaos) watchAccounts() *accounts {
	a := &accounts{c: c, stop: make(chan struct{}), of: map[string]float64{}}
	a.done.Go(func() {
		every := time.NewTicker(100 * time.Millisecond)
		defer every.Stop()
		for {
			a.read()
			select {
			case <-a.stop:
				return
			case <-every.C:
			}
		}
	})
	return a
}

// read takes in what the leader knows. A new leader has less until the next heartbeats.
func (a *accounts) read() {
	var l struct {
		Data []struct {
			ID      string  `json:"id"`
			Seconds float64 `json:"device_seconds"`
		} `json:"data"`
	}
	if json.Unmarshal([]byte(a.c.get("/v1/nodes")), &l) != nil {
		return
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range l.Data {
		a.of[n.ID] = max(a.of[n.ID], n.Seconds)
	}
}

// sum adds the accounts up.
func (a *accounts) sum() (s float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, v := range a.of {
		s += v
	}
	return s
}

// check wants what was metered, charged or not, to come to the accounts within 1 %, once all clips
// have ended and the shards' last words are recorded.
func (a *accounts) check() {
	a.c.t.Helper()
	defer a.done.Wait()
	defer close(a.stop)

	var own, metered float64
	until(a.c.t, "metered device-seconds that are the shards' own within 1 %", func() bool {
		var l struct {
			Data []struct {
				Seconds float64 `json:"device_seconds"`
			} `json:"data"`
		}
		if json.Unmarshal([]byte(a.c.get("/v1/usage?by=")), &l) != nil || len(l.Data) != 1 {
			return false
		}
		own, metered = a.sum(), l.Data[0].Seconds
		return own > 0 && math.Abs(metered-own) <= own/100
	})
	a.c.t.Logf("%.2f device-seconds are metered, %.2f by the shards' own accounts", metered, own)
}
