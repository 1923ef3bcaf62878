package collective

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Group is an ordered subset of a transport's ranks that calls the same collectives in step. Its
// ranks count from 0 in the order of the members. The tags of two groups that share a pair of
// ranks must differ, as must those of two calls. Safe for concurrent calls with different tags.
//
// An error of a peer is a *PeerError with the peer's rank in the transport.
type Group struct {
	t       Transport
	members []int
	rank    int
}

// NewGroup makes a group of the members, ranks of t in any order, each at most once. The own rank
// must be one of them.
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

// Near reports whether the group's rank i is known to be in this process.
func (g *Group) Near(i int) bool { return Near(g.t, g.members[i]) }

// AllToAll sends out[i] to rank i and returns what the ranks sent here, in[i] from rank i; in[Rank]
// is out[Rank] itself. Parts may differ in size and be empty. It hands out over, and panics where
// len(out) is not Size.
func (g *Group) AllToAll(ctx context.Context, tag Tag, out [][]byte) (in [][]byte, err error) {
	if len(out) != g.Size() {
		panic(fmt.Sprintf("collective: %d parts for a group of %d", len(out), g.Size()))
	}
	in = make([][]byte, g.Size())
	in[g.rank] = out[g.rank]
	if g.Size() == 1 {
		return in, nil
	}
	r := newRound(ctx)
	for d := 1; d < g.Size(); d++ { // every rank begins with another peer
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

// AllGather sends own to every rank and returns what the ranks gave, in their order; the own entry
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

// Exchange sends data to the group's rank peer and returns what that rank sent here, both at once.
// It hands data over; with the own rank as peer it returns data.
func (g *Group) Exchange(ctx context.Context, tag Tag, peer int, data []byte) ([]byte, error) {
	if peer < 0 || peer >= g.Size() {
		return nil, fmt.Errorf("cannot exchange with rank %d: the group has %d", peer, g.Size())
	}
	if peer == g.rank {
		return data, nil
	}
	r := newRound(ctx)
	r.do(func(ctx context.Context) error {
		return g.t.Send(ctx, g.members[peer], tag, data)
	})
	var in []byte
	r.do(func(ctx context.Context) (err error) {
		in, err = g.t.Recv(ctx, g.members[peer], tag)
		return err
	})
	return in, r.wait()
}

// Barrier returns once every rank has called it.
func (g *Group) Barrier(ctx context.Context, tag Tag) error {
	_, err := g.AllToAll(ctx, tag, make([][]byte, g.Size()))
	return err
}

// round runs the sends and receives of one collective at once; the first error ends them all.
type round struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

func newRound(ctx context.Context) *round {
	r := &round{}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

func (r *round) do(f func(context.Context) error) {
	r.wg.Go(func() {
		if err := f(r.ctx); err != nil {
			r.once.Do(func() { r.err = err })
			r.cancel()
		}
	})
}

// wait returns the first error, once all calls have ended.
func (r *round) wait() error {
	r.wg.Wait()
	r.cancel()
	return r.err
}
