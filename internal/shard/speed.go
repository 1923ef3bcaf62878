package shard

import (
	"sync"
	"time"
)

// speed is a running mean of what the node has measured of its passes, in operations per second.
type speed struct {
	mu  sync.Mutex
	per float64
}

// measure takes a pass.
func (s *speed) measure(operations float64, took time.Duration) {
	if took <= 0 {
		return
	}
	now := operations / took.Seconds()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.per == 0 {
		s.per = now
	}
	s.per = (63*s.per + now) / 64
}

// mean returns 0 before the first pass.
func (s *speed) mean() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.per
}
