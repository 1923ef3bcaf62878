package collective

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Group is an ordered subset of a transport's ranks, all of which call the same collectives with
// the same tags. Its ranks count from 0 in the order of the members. Two calls use different tags,
// and so do two groups that share a pair of ranks. Calls with different tags may run at once.
//
// An error of a peer is a *PeerError with the peer's rank in the transport.
type Group struct {
	t       Transport
	members []int // ranks of t, by rank of the group
	rank    int   // the own one, in the group
}

// NewGroup makes a group of the members: ranks of t, in any order, each at most once, with the own
// one among them. Every member makes the group with the same order. No message is sent.
func NewGroup(t Transport, members []int) (*Group, error) {
	g := &Group{t: t, members: slices.Clone(members), rank: slices.Index(members, t.Rank())}
	if g.rank < 0 {
		return nil, fmt.Errorf("cannot form a group of %v: own rank %d is not in it", members, t.Rank())
	}

	for i, m := range members {
		if m < 0 || m >= t.Size() {
			return nil, fmt.Errorf("cannot form a group of %v: rank %d is not in 0..%d",
				members, m, t.Size()-1)
		}
		if slices.Contains(members[:i], m) {
			return nil, fmt.Errorf("cannot form a group of %v: rank %d is there twice", members, m)
		}
	}
	return g, nil
}

// Rank returns the own rank in the group.
func (g *Group) Rank() int { return g.rank }

// Size returns the number of members.
func (g *Group) Size() int { return len(g.members) }

// Member returns the rank in the transport of the group's rank i.
func (g *Group) Member(i int) int { return g.members[i] }

// SameProcess reports whether the group's rank i is known to be in this process, so that what it is
// sent may refer to memory.
func (g *Group) SameProcess(i int) bool { return SameProcess(g.t, g.members[i]) }

// AllToAll sends out[i] to rank i and returns what the ranks sent here, in[i] from rank i; in[Rank]
// is out[Rank] itself. Parts may differ in size and be empty. The parts are handed over: the caller
// must not touch them afterwards. The first error ends the call on this rank and is returned, and
// AllToAll panics where len(out) is not Size.
//
// Ulysses attention exchanges heads for tokens by it, before and after each attention.
func (g *Group) AllToAll(ctx context.Context, tag Tag, out [][]byte) (in [][]byte, err error) {
	if len(out) != g.Size() {
		panic(fmt.Sprintf("collective: %d parts for a group of %d", len(out), g.Size()))
	}
	in = make([][]byte, g.Size())
	in[g.rank] = out[g.rank]
	if g.Size() == 1 {
		return in, nil
	}

	// Every rank begins with another peer, so that no receiver is sent everything at once.
	r := newRound(ctx)
	for d := 1; d < g.Size(); d++ {
		to, from := (g.rank+d)%g.Size(), (g.rank+g.Size()-d)%g.Size()
		r.do(func(ctx context.Context) (err error) {
			in[from], err = g.t.Recv(ctx, g.members[from], tag)
			return err
		})
		r.do(func(ctx context.Context) error {
			return g.t.Send(ctx, g.members[to], tag, out[to])
		})
	}
	if err := r.wait(); err != nil {
		return nil, err
	}
	return in, nil
}

// AllGather sends own to every rank and returns what the ranks sent, in their order; the own entry
// is own itself. Every peer is sent a copy, so own stays the caller's.
func (g *Group) AllGather(ctx context.Context, tag Tag, own []byte) ([][]byte, error) {
	out := make([][]byte, g.Size())
	for i := range out {
		if i == g.rank {
			out[i] = own
			continue
		}
		out[i] = NewBuffer(len(own))
		copy(out[i], own)
	}
	return g.AllToAll(ctx, tag, out)
}

// round runs the sends and receives of one collective at once, each on a goroutine of its own. The
// first error ends them all.
type round struct {
	ctx    context.Context // of the calls; ended by the first error
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once // of err
	err    error     // the first one; read after wg
}

func newRound(ctx context.Context) *round {
	r := &round{}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

// do starts a call.
func (r *round) do(f func(context.Context) error) {
	r.wg.Go(func() {
		if err := f(r.ctx); err != nil {
			r.once.Do(func() { r.err = err })
			r.cancel()
		}
	})
}

// wait returns the first error, once all calls have ended, so that no buffer is used any more.
func (r *round) wait() error {
	r.wg.Wait()
	r.cancel()
	return r.err
}
