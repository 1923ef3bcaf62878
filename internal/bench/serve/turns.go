package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/longtake/longtake/internal/bench/result"
)

// A machine that others use as well is faster now and slower a minute later, by more than most
// differences that somebody looks for. So two servers are asked for the same clip one right after
// the other: what both of a pair have in common, such as the minute, is not in their ratio.

// Sides of a run that asks two servers, in Setup.Side.
const (
	SideA = result.SideA
	SideB = result.SideB
)

// Turns lets two benches, of one side each, ask for their clips one at a time: of each index, one
// side after the other, and A first of even ones, so that the order is A B B A. A nil one lets
// everybody go on at once. Its methods may be called by many goroutines.
type Turns struct {
	id string

	mu    sync.Mutex
	busy  bool // a clip is under way
	sides map[string]*turn
	over  chan struct{} // closed when both have ended
}

// turn is where a side stands.
type turn struct {
	waits, ended bool
	index        int // of the clip that it waits with
	next         chan struct{}
}

// NewTurns returns the turns of the runs of two journals. These have to be of one run: clips that
// were made hours apart are no pairs.
func NewTurns(a, b *Journal) (*Turns, error) {
	if !a.head.Started.Equal(b.head.Started) || a.head.Setup.Side != SideA ||
		b.head.Setup.Side != SideB {
		return nil, errors.New("its parts a and b are not of one run; allowed: another --output")
	}

	t := &Turns{id: fmt.Sprintf("%x-%x", a.head.Started.UnixNano(), a.head.Setup.Seed),
		sides: map[string]*turn{}, over: make(chan struct{})}
	for _, side := range []string{SideA, SideB} {
		t.sides[side] = &turn{next: make(chan struct{}, 1)}
	}
	return t, nil
}

// take waits until it is a side's turn to ask for a clip. The caller then calls release.
func (t *Turns) take(ctx context.Context, side string, index int) error {
	if t == nil {
		return nil
	}
	own := t.sides[side]
	t.mu.Lock()
	own.waits, own.index = true, index
	t.choose()
	t.mu.Unlock()

	select {
	case <-own.next:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release ends a turn.
func (t *Turns) release() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	t.choose()
}

// A run that was interrupted between the two clips of a pair goes on with the one that is missing,
// since the side that waits with the lower index goes first.

// choose gives the turn to one of the sides once both are known: with the lower index, or, of
// equal ones, by the order A B B A. The lock is held.
func (t *Turns) choose() {
	a, b := t.sides[SideA], t.sides[SideB]
	if t.busy || !a.waits && !a.ended || !b.waits && !b.ended || a.ended && b.ended {
		return
	}

	next := b
	if b.ended || a.waits && (a.index < b.index || a.index == b.index && a.index%2 == 0) {
		next = a
	}
	t.busy, next.waits = true, false
	next.next <- struct{}{} // it has room: one turn at a time
}

// leave says that a side asks for no more clips.
func (t *Turns) leave(side string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.sides[side]; !own.ended {
		own.ended = true
		if t.sides[SideA].ended && t.sides[SideB].ended {
			close(t.over)
		}
		t.choose()
	}
}

// both waits until no side asks for clips any more: what a side does after its last clip would slow
// down those of the other one.
func (t *Turns) both(ctx context.Context, side string) error {
	if t == nil {
		return nil
	}
	t.leave(side)
	select {
	case <-t.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pair is what the result says of the other side; nil for a run of one server.
func (t *Turns) pair(side string) *result.Pair {
	if t == nil {
		return nil
	}
	return &result.Pair{ID: t.id, Side: side}
}

// checkSide refuses what two servers cannot be asked for in turn.
func (s Setup) checkSide() error {
	switch {
	case s.Side == "":
		return nil
	case s.Scenario != SingleStream:
		return fmt.Errorf("--versus does not go with --scenario %s; allowed: single-stream", s.Scenario)
	case len(s.Faults) > 0:
		return errors.New("--versus does not go with --faults")
	case s.Multiple > 0:
		return fmt.Errorf("--objective is %gx; allowed with --versus: a latency, such as 60s, that is "+
			"the same for both", s.Multiple)
	}
	return nil
}
