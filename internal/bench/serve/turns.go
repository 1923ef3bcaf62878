package serve

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	// resolve is the difference that the pairs are to show, after which no more are asked for; 0:
	// none.
	resolve float64

	mu    sync.Mutex
	busy  bool // a clip is under way
	sides map[string]*turn
	over  chan struct{} // closed when both have ended

	// What resolve goes by: clips that count, how many there are of an index, pairs with both of their
	// clips, and what those of them that were made could show when they were looked at.
	clips    map[string][]result.Request
	of       map[int]int
	complete int
	shows    float64
	enough   chan struct{} // closed when resolve is reached
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
		resolve: a.head.Setup.Resolve, sides: map[string]*turn{}, over: make(chan struct{}),
		clips: map[string][]result.Request{}, of: map[int]int{}, shows: math.Inf(1),
		enough: make(chan struct{})}
	for _, side := range []string{SideA, SideB} {
		t.sides[side] = &turn{next: make(chan struct{}, 1)}
	}

	// A run that goes on has pairs already, and may have had enough of them.
	for side, j := range map[string]*Journal{SideA: a, SideB: b} {
		for _, q := range j.pass(1).requests {
			t.add(side, q)
		}
	}
	t.look()
	return t, nil
}

// errEnough ends a side's asking: the pairs show what they were to show.
var errEnough = errors.New("the pairs resolve the difference")

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
	case <-t.enough:
		return errEnough
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release ends a turn with its clip; nil: none was asked for.
func (t *Turns) release(side string, q *result.Request) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	if q != nil && t.add(side, *q) && t.complete%result.ResolveEvery == 0 {
		t.look()
	}
	t.choose()
}

// add counts a clip, and reports whether it completes a pair. The lock is held, or nobody else
// knows of these turns.
func (t *Turns) add(side string, q result.Request) bool {
	if t.resolve == 0 || q.Phase != result.PhaseMeasure {
		return false
	}
	t.clips[side] = append(t.clips[side], q)
	if t.of[q.Index]++; t.of[q.Index] < 2 {
		return false
	}
	t.complete++
	return true
}

// look finds out what the pairs could show, and whether that is enough. Where they lie does not
// count: see result.Resolves.
func (t *Turns) look() {
	if t.resolve == 0 || t.complete < result.ResolveLeast || t.resolved() {
		return
	}
	pairs, shows := result.Resolves(t.clips[SideA], t.clips[SideB])
	if t.shows = shows; pairs >= result.ResolveLeast && shows <= t.resolve {
		close(t.enough)
	}
}

// resolved reports whether the pairs are enough.
func (t *Turns) resolved() bool {
	select {
	case <-t.enough:
		return true
	default:
		return false
	}
}

// showing returns the difference that the pairs could show when they were looked at last; 0: they
// were not, or are too few.
func (t *Turns) showing() float64 {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if math.IsInf(t.shows, 0) {
		return 0
	}
	return t.shows
}

// why says why a run has ended that was to resolve a difference, "" for another one. It is called
// when both sides have ended.
func (t *Turns) why() string {
	if t == nil || t.resolve == 0 {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.resolved() {
		return fmt.Sprintf("The run ended after %d pairs, which could show a difference of %.2g %% "+
			"(--resolve %.3g%%).", t.complete, 100*t.shows, 100*t.resolve)
	}

	could := "are too few to show any"
	pairs, shows := result.Resolves(t.clips[SideA], t.clips[SideB])
	if pairs > 0 && !math.IsInf(shows, 0) {
		could = fmt.Sprintf("could show one of %.2g %%", 100*shows)
	}
	return fmt.Sprintf("The run ended after %d pairs, at --count or --duration, before it resolved a "+
		"difference of %.3g %% (--resolve): its pairs %s.", t.complete, 100*t.resolve, could)
}

// A run that was interrupted between the two clips of a pair goes on with the one that is missing,
// since the side that waits with the lower index goes first.

// choose gives the turn to one of the sides once both are known: with the lower index, or, of
// equal ones, by the order A B B A. The lock is held.
func (t *Turns) choose() {
	a, b := t.sides[SideA], t.sides[SideB]
	if t.resolved() || t.busy || !a.waits && !a.ended || !b.waits && !b.ended || a.ended && b.ended {
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
	if s.Resolve != 0 && !(s.Resolve >= result.ResolveMin && s.Resolve <= 1) {
		return fmt.Errorf("--resolve is %.3g%%; allowed: %g%% to 100%%", 100*s.Resolve,
			100*result.ResolveMin)
	}

	switch {
	case s.Resolve != 0 && s.Side == "":
		return errors.New("--resolve goes with --versus, which is missing")
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
