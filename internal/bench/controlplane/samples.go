package controlplane

import (
	"slices"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
)

// Kinds of what is timed.
const (
	// Of shards: the first is answered once the shard is in the leader's table, the second with what
	// the leader has to say to the rank.
	kindRegister  = "register"
	kindHeartbeat = "heartbeat"
	// Answered once the checkpoint, the result, or the end of a rank is recorded. Previews are not.
	kindSaved    = "checkpoint"
	kindComplete = "complete"
	kindFailed   = "failed rank"
	kindPreview  = "preview"
	// Of clients, as HTTP requests.
	kindCreate = "create"
	kindCancel = "cancel"
	kindDrain  = "drain"
	kindGet    = "get"
	kindList   = "list"
	// Spans between two that are not request and answer: until rank 0 has the order of a clip's first
	// attempt, with the time in the queue, and until a rank hears that another one has died.
	// Both have in them how long the leader waits before it decides.
	kindOrdered = "submit to start order"
	kindNoticed = "dead shard to stop order"
)

// commands are the kinds that Raft commits before they are acknowledged. Heartbeats and previews
// are answered from the leader's memory, registrations from its table of nodes.
var commands = []string{kindSaved, kindComplete, kindFailed, kindCreate, kindCancel,
	kindDrain}

// samples collects how long things took, by kind. They are kept whole: percentiles of a sketch are
// worst where they matter here, at the far end. It is safe for concurrent use.
type samples struct {
	mu sync.Mutex
	// Seconds.
	took   map[string][]float64
	failed map[string]int
}

func newSamples() *samples {
	return &samples{took: map[string][]float64{}, failed: map[string]int{}}
}

// add notes that something took so long, or that it was not acknowledged.
func (s *samples) add(kind string, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed[kind]++
		return
	}
	s.took[kind] = append(s.took[kind], took.Seconds())
}

// Times are percentiles of how long something took, in seconds, by the nearest rank.
type Times struct {
	Count int `json:"count"`
	// Not acknowledged: repeated, or given up.
	Failed int     `json:"failed,omitempty"`
	P50    float64 `json:"p50_seconds"`
	P99    float64 `json:"p99_seconds"`
	Max    float64 `json:"max_seconds"`
}

// timesOf returns the percentiles of samples, which it sorts.
func timesOf(took []float64, failed int) Times {
	t := Times{Count: len(took), Failed: failed}
	if len(took) == 0 {
		return t
	}

	slices.Sort(took)
	t.P50, t.P99 = result.Percentile(took, 0.5), result.Percentile(took, 0.99)
	t.Max = took[len(took)-1]
	return t
}

// times returns the percentiles of each kind that there is, and of all commands together.
func (s *samples) times() (each map[string]Times, all Times) {
	s.mu.Lock()
	defer s.mu.Unlock()
	each = map[string]Times{}
	for kind, took := range s.took {
		each[kind] = timesOf(slices.Clone(took), s.failed[kind])
	}
	for kind, n := range s.failed {
		if each[kind].Count == 0 {
			each[kind] = Times{Failed: n}
		}
	}

	var took []float64
	failed := 0
	for _, kind := range commands {
		took = append(took, s.took[kind]...)
		failed += s.failed[kind]
	}
	return each, timesOf(took, failed)
}
