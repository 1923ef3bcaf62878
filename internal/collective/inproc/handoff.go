package inproc

import "sync"

// Handoff is where the ranks of a process leave data for each other. A process has one for all its
// attempts. The zero value is ready to use, from several goroutines.
type Handoff struct {
	mu       sync.Mutex
	last     uint64                  // handle that was given out
	attempts map[string]*attemptData // by the name that New was given
}

// attemptData is what the ranks of one attempt have left and not yet taken. The handoff's mutex
// guards it.
type attemptData struct {
	data   map[uint64][]byte // by handle
	ranks  int               // of the attempt in this process
	joined int               // of these, so far
	open   int               // of those that joined, not yet closed
	failed bool              // a rank has, so that others may never join
}

// Attempts returns how many attempts still use the handoff, so that tests can see it empty.
func (h *Handoff) Attempts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.attempts)
}

// Handed returns how many pieces of data have been handed over by reference so far.
func (h *Handoff) Handed() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// join adds a rank to an attempt, which has so many ranks in this process.
func (h *Handoff) join(attempt string, ranks int) *attemptData {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.attempts[attempt]
	if a == nil {
		a = &attemptData{data: map[uint64][]byte{}, ranks: ranks}
		if h.attempts == nil {
			h.attempts = map[string]*attemptData{}
		}
		h.attempts[attempt] = a
	}

	a.joined++
	a.open++
	return a
}

// leave takes a rank out. The data of the attempt goes with the last one, unless a rank has still
// to join: it may fetch what the others left for it. After a failure nobody waits for that.
func (h *Handoff) leave(attempt string, a *attemptData, failed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.open--
	a.failed = a.failed || failed
	if a.open == 0 && (a.failed || a.joined >= a.ranks) && h.attempts[attempt] == a {
		delete(h.attempts, attempt)
	}
}

// put leaves data and returns its handle.
func (h *Handoff) put(a *attemptData, data []byte) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	a.data[h.last] = data
	return h.last
}

// take fetches the data of a handle, once.
func (h *Handoff) take(a *attemptData, handle uint64) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	data, ok := a.data[handle]
	delete(a.data, handle)
	return data, ok
}
