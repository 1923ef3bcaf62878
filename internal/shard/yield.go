package shard

import "sync"

// yieldRequest is whether an attempt should yield to another one at its next step boundary. Orders
// ask for it; answers to heartbeats, which may be older than an order, repeat the request or
// withdraw it.
type yieldRequest struct {
	mu     sync.Mutex
	asked  bool
	orders int // so far
}

// isAsked reports whether the attempt should yield. The rank asks at each of its step boundaries.
func (y *yieldRequest) isAsked() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.asked
}

// request is an order to yield.
func (y *yieldRequest) request() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.asked = true
	y.orders++
}

// ordersSeen returns how many orders came so far, for update.
func (y *yieldRequest) ordersSeen() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.orders
}

// update takes what the answer to a heartbeat says, which was sent when so many orders had come. It
// does not withdraw an order that came meanwhile, of which the answer may not know.
func (y *yieldRequest) update(asked bool, ordersSeen int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if asked || y.orders == ordersSeen {
		y.asked = asked
	}
}
