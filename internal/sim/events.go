package sim

import "time"

// event is something that happens at a virtual time. Of two at the same time, the one that was
// planned first comes first (seq), so that a run does not depend on the heap's order.
type event struct {
	at  time.Time
	seq int
	do  func()
}

// before reports whether e happens before o. No two events are alike in this.
func (e event) before(o event) bool {
	return e.at.Before(o.at) || e.at.Equal(o.at) && e.seq < o.seq
}

// events is a binary heap by time. It is not container/heap, which allocates for each event: a
// day of a large cluster has many millions.
type events []event

// push adds an event: it goes up from the last place for as long as it is before what is above.
func (e *events) push(x event) {
	h := append(*e, x)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !x.before(h[up]) {
			break
		}
		h[i], i = h[up], up
	}
	h[i] = x
	*e = h
}

// pop takes the earliest event out; there has to be one. The last one takes its place and goes down
// until nothing below is before it.
func (e *events) pop() event {
	h := *e
	first, n := h[0], len(h)-1
	x := h[n]
	h[n] = event{} // lets go of its function
	h = h[:n]

	for i := 0; n > 0; {
		down := 2*i + 1
		if down >= n {
			h[i] = x
			break
		}
		if down+1 < n && h[down+1].before(h[down]) {
			down++
		}
		if !h[down].before(x) {
			h[i] = x
			break
		}
		h[i], i = h[down], down
	}
	*e = h
	return first
}
