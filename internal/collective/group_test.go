package collective_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAllToAll holds any group to: what rank i gave for rank j is what rank j has of rank i.
func TestAllToAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "ranks")
		members := rapid.Permutation([]int{0, 1, 2, 3, 4, 5}[:n]).Draw(t, "members")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 40), n*n, n*n).Draw(t, "sizes")
		done := make(chan error, n)
		for _, tr := range mem.NewWorld(n, mem.Options{}) {
			go func() { done <- allToAll(tr, members, sizes) }()
		}
		for range n {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func part(from, to, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(from*16 + to)
	}
	return b
}

func allToAll(tr collective.Transport, members, sizes []int) error {
	g, err := collective.NewGroup(tr, members)
	if err != nil {
		return err
	}
	n, me := g.Size(), g.Rank()
	out := make([][]byte, n)
	for i := range out {
		out[i] = part(me, i, sizes[me*n+i])
	}
	in, err := g.AllToAll(context.Background(), collective.Tag{}, out)
	if err != nil {
		return err
	}
	for i, b := range in {
		if string(b) != string(part(i, me, sizes[i*n+me])) {
			return fmt.Errorf("rank %d got %x of %d", me, b, i)
		}
	}
	return nil
}

func TestGroupEndsTogether(t *testing.T) {
	world := mem.NewWorld(3, mem.Options{})
	g, err := collective.NewGroup(world[0], []int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	world[2].Close()
	var peer *collective.PeerError
	_, err = g.AllGather(t.Context(), collective.Tag{}, nil)
	if !errors.As(err, &peer) || peer.Rank != 2 {
		t.Errorf("got %v, want rank 2 to be named", err)
	}
}

func TestAllToAllPanics(t *testing.T) {
	g, err := collective.NewGroup(mem.NewWorld(1, mem.Options{})[0], []int{0})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a wrong number of parts was taken")
		}
	}()
	_, _ = g.AllToAll(t.Context(), collective.Tag{}, nil)
}

func TestDirty(t *testing.T) {
	for _, n := range []int{0, 1, 64 << 10, 1<<20 + 3} {
		b := collective.Dirty(n)
		if len(b) != n || n > 0 && &collective.Align(b)[0] != &b[0] {
			t.Errorf("%d bytes of %d, or not aligned", len(b), n)
		}
		clear(b)
	}
}
