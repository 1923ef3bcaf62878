package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// Run holds a transport to the contract of package collective.
func Run(t *testing.T, open Open) {
	for name, f := range map[string]func(*testing.T, Open){
		"sizes": testSizes, "any order": testOrder, "burst": testBurst, "own": testOwn,
		"late join": testLateJoin, "handover": testHandover, "cancel": testCancel,
		"close wakes": testCloseWakes, "close delivers": testCloseDelivers,
		"silent peer": testSilent, "never joined": testNeverJoined, "blame": testBlame,
		"older attempt": testStale, "wrong calls": testWrong, "stats": testStats, "group": testGroup,
	} {
		t.Run(name, func(t *testing.T) { f(t, open) })
	}
}

// RunFaulty lets Fault harm the frames of everything a faulty network must not change.
func RunFaulty(t *testing.T, open Open) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			f := Fault{Seed: seed, Drop: .1, Duplicate: .1, Corrupt: .1, Delay: .1}
			faulty := func(t testing.TB, n int, o Options) Join {
				o.Fault = &f
				return open(t, n, o)
			}
			for name, f := range map[string]func(*testing.T, Open){
				"sizes": testSizes, "any order": testOrder, "burst": testBurst,
				"late join": testLateJoin, "older attempt": testStale, "group": testGroup,
				"close wakes": testCloseWakes,
			} {
				t.Run(name, func(t *testing.T) { f(t, faulty) })
			}
		})
	}
}

// send and receive move the message of a name and check it.
func (w *world) send(tr collective.Transport, to int, tag collective.Tag, n int) error {
	return tr.Send(w.ctx, to, tag, blob(tr.Rank(), to, tag, n))
}

func (w *world) receive(tr collective.Transport, from int, tag collective.Tag, n int) error {
	got, err := tr.Recv(w.ctx, from, tag)
	if err != nil {
		return err
	}
	return check(got, blob(from, tr.Rank(), tag, n))
}

func check(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("got %d bytes that differ from the %d sent", len(got), len(want))
	}
	if a := collective.Align(got); len(got) > 0 && &a[0] != &got[0] {
		return errors.New("the buffer is not aligned")
	}
	return nil
}

func testSizes(t *testing.T, open Open) {
	w := newWorld(t, open, 2, Options{})
	w.each(func(tr collective.Transport) error {
		peer := 1 - tr.Rank()
		for i, n := range sizes {
			tag := collective.Tag{Step: uint32(i)}
			if err := w.send(tr, peer, tag, n); err != nil {
				return err
			}
			if err := w.receive(tr, peer, tag, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func testOrder(t *testing.T, open Open) {
	const messages = 20
	w := newWorld(t, open, 2, Options{})
	w.each(func(tr collective.Transport) error {
		for i := range uint32(messages) {
			tag := collective.Tag{Step: i / 4, Op: i}
			if err := w.send(tr, 1-tr.Rank(), tag, size(tr.Rank(), 0, tag)); err != nil {
				return err
			}
		}
		for i := range uint32(messages) {
			op := (i*7 + 3) % messages
			tag := collective.Tag{Step: op / 4, Op: op}
			if err := w.receive(tr, 1-tr.Rank(), tag, size(1-tr.Rank(), 0, tag)); err != nil {
				return err
			}
		}
		return nil
	})
}

// testBurst sends many messages from every rank to every other at once.
func testBurst(t *testing.T, open Open) {
	for _, n := range []int{2, 3, 5} {
		w := newWorld(t, open, n, Options{})
		for _, tr := range w.ranks {
			for i := range uint32(6) {
				for peer := range n {
					if peer != tr.Rank() {
						w.burst(tr, peer, collective.Tag{Step: i, Op: uint32(peer)})
					}
				}
			}
		}
		w.wg.Wait()
	}
}

func (w *world) burst(tr collective.Transport, peer int, tag collective.Tag) {
	w.wg.Go(func() {
		if err := w.send(tr, peer, tag, size(tr.Rank(), peer, tag)); err != nil {
			w.t.Error(err)
		}
	})
	w.wg.Go(func() {
		tag := collective.Tag{Step: tag.Step, Op: uint32(tr.Rank())}
		if err := w.receive(tr, peer, tag, size(peer, tr.Rank(), tag)); err != nil {
			w.t.Error(err)
		}
	})
}

func testOwn(t *testing.T, open Open) {
	w := newWorld(t, open, 1, Options{})
	for i, n := range sizes {
		tag := collective.Tag{Op: uint32(i)}
		if err := w.send(w.ranks[0], 0, tag, n); err != nil {
			t.Error(err)
		}
		if err := w.receive(w.ranks[0], 0, tag, n); err != nil {
			t.Error(err)
		}
	}
}

// testLateJoin sends before the receiver is there.
func testLateJoin(t *testing.T, open Open) {
	join := open(t, 2, Options{})
	w := joinAll(t, join, 1, 1)
	tag := collective.Tag{Step: 1}
	sent, early := make(chan error, 1), w.ranks[0]
	go func() { sent <- w.send(early, 1, tag, 20*ChunkBytes) }()
	late, err := join(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.ranks = append(w.ranks, late)
	if err := w.receive(late, 0, tag, 20*ChunkBytes); err != nil {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// testHandover changes what was received and what is kept, which no other rank may see.
func testHandover(t *testing.T, open Open) {
	w := newWorld(t, open, 3, Options{})
	tag := collective.Tag{Op: 9}
	w.each(func(tr collective.Transport) error {
		g, err := collective.NewGroup(tr, []int{0, 1, 2})
		if err != nil {
			return err
		}
		own := blob(tr.Rank(), 0, tag, 2*ChunkBytes)
		all, err := g.AllGather(w.ctx, tag, own)
		if err != nil {
			return err
		}
		for r, b := range all {
			if err := check(b, blob(r, 0, tag, 2*ChunkBytes)); err != nil {
				return fmt.Errorf("part %d: %w", r, err)
			}
			clear(b)
		}
		return nil
	})
}

func testCancel(t *testing.T, open Open) {
	w := newWorld(t, open, 2, Options{})
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := w.ranks[0].Recv(ctx, 1, collective.Tag{})
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Recv gives %v", err)
	}
	if err := w.ranks[0].Send(ctx, 1, collective.Tag{Op: 1}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Send gives %v", err)
	}
	if err := w.send(w.ranks[1], 0, collective.Tag{}, 9); err != nil {
		t.Error(err)
	}
	if err := w.receive(w.ranks[0], 1, collective.Tag{}, 9); err != nil {
		t.Errorf("after a cancelled call: %v", err)
	}
}

// waiting starts a Recv on every rank but closed, of from, and returns their errors.
func (w *world) waiting(from func(rank int) int) []chan error {
	ends := make([]chan error, len(w.ranks))
	for r, tr := range w.ranks {
		ends[r] = make(chan error, 1)
		go func() {
			_, err := tr.Recv(w.ctx, from(r), collective.Tag{Op: 77})
			ends[r] <- err
		}()
	}
	return ends
}

// await returns the error of a call that must have an end.
func (w *world) await(end chan error) error {
	select {
	case err := <-end:
		return err
	case <-w.ctx.Done():
		return errTimeout
	}
}

// testCloseWakes closes one rank: its own call ends, and so do those that wait for it.
func testCloseWakes(t *testing.T, open Open) {
	w := newWorld(t, open, 3, Options{})
	ends := w.waiting(func(rank int) int { return (rank + 1) % 3 }) // 0 waits for 1, 1 for 2, 2 for 0
	w.ranks[1].Close()
	if err := w.await(ends[1]); !errors.Is(err, collective.ErrClosed) {
		t.Errorf("the closed rank's call gives %v", err)
	}
	wantPeer(t, w.await(ends[0]), 1)
	if err := w.send(w.ranks[0], 2, collective.Tag{Op: 77}, 5); err != nil {
		t.Errorf("between the others: %v", err)
	}
	if err := w.await(ends[2]); err != nil {
		t.Errorf("between the others: %v", err)
	}
	if err := w.send(w.ranks[1], 0, collective.Tag{Op: 78}, 5); !errors.Is(err, collective.ErrClosed) {
		t.Errorf("Send after Close gives %v", err)
	}
}

func wantPeer(t testing.TB, err error, rank int) {
	t.Helper()
	var peer *collective.PeerError
	if !errors.As(err, &peer) {
		t.Errorf("got %v, want a PeerError of rank %d", err, rank)
	} else if peer.Rank != rank {
		t.Errorf("got %v, want rank %d to be named", err, rank)
	}
}

// testCloseDelivers closes a rank right after it has sent.
func testCloseDelivers(t *testing.T, open Open) {
	w := newWorld(t, open, 2, Options{})
	for i, n := range sizes {
		if err := w.send(w.ranks[0], 1, collective.Tag{Op: uint32(i)}, n); err != nil {
			t.Fatal(err)
		}
	}
	w.ranks[0].Close()
	for i, n := range sizes {
		if err := w.receive(w.ranks[1], 0, collective.Tag{Op: uint32(i)}, n); err != nil {
			t.Error(err)
		}
	}
	wantPeer(t, w.receive(w.ranks[1], 0, collective.Tag{Op: 99}, 0), 0)
}

const shortTimeout = 300 * time.Millisecond

// testSilent hangs one rank: those who wait for it name it, and so do those who wait for them.
func testSilent(t *testing.T, open Open) {
	w := newWorld(t, open, 3, Options{PeerTimeout: shortTimeout})
	w.ranks[2].(Silencer).Silence()
	ends := w.waiting(func(rank int) int { return []int{2, 2, 0}[rank] })
	wantPeer(t, w.await(ends[0]), 2)
	wantPeer(t, w.await(ends[1]), 2)
	w.close()
	if err := w.await(ends[2]); err == nil {
		t.Error("the silent rank received something")
	}
}

func testNeverJoined(t *testing.T, open Open) {
	join := open(t, 2, Options{PeerTimeout: shortTimeout})
	w := joinAll(t, join, 1, 1)
	_, err := w.ranks[0].Recv(w.ctx, 1, collective.Tag{})
	wantPeer(t, err, 1)
}

// testBlame closes a rank because of another: a third rank is told which.
func testBlame(t *testing.T, open Open) {
	w := newWorld(t, open, 3, Options{})
	ends := w.waiting(func(rank int) int { return []int{1, 2, 0}[rank] })
	w.ranks[2].Close()
	wantPeer(t, w.await(ends[1]), 2)
	w.ranks[1].Close()
	wantPeer(t, w.await(ends[0]), 2)
}

func testStale(t *testing.T, open Open) {
	join := open(t, 2, Options{})
	old := joinAll(t, join, 2, 3)
	ends := old.waiting(func(rank int) int { return 1 - rank })
	w := joinAll(t, join, 2, 4)
	for _, end := range ends {
		if err := old.await(end); !errors.Is(err, collective.ErrStale) {
			t.Errorf("an older attempt's call gives %v", err)
		}
	}
	if _, err := join(0, 3); !errors.Is(err, collective.ErrStale) {
		t.Errorf("joining an older attempt gives %v", err)
	}
	if _, err := join(0, 4); err == nil {
		t.Error("a rank joined twice")
	}
	w.each(func(tr collective.Transport) error {
		tag := collective.Tag{Op: 77}
		if err := w.send(tr, 1-tr.Rank(), tag, 5*ChunkBytes); err != nil {
			return err
		}
		return w.receive(tr, 1-tr.Rank(), tag, 5*ChunkBytes)
	})
}

func testWrong(t *testing.T, open Open) {
	w := newWorld(t, open, 2, Options{})
	for _, rank := range []int{-1, 2} {
		if err := w.ranks[0].Send(w.ctx, rank, collective.Tag{}, nil); err == nil {
			t.Errorf("sent to rank %d", rank)
		}
		if _, err := w.ranks[0].Recv(w.ctx, rank, collective.Tag{}); err == nil {
			t.Errorf("received of rank %d", rank)
		}
	}
	for _, members := range [][]int{{1}, {0, 0}, {0, 2}, {0, -1}, nil} {
		if _, err := collective.NewGroup(w.ranks[0], members); err == nil {
			t.Errorf("rank 0 formed the group %v", members)
		}
	}
}

func testStats(t *testing.T, open Open) {
	w := newWorld(t, open, 2, Options{})
	w.each(func(tr collective.Transport) error {
		if err := w.send(tr, 1-tr.Rank(), collective.Tag{}, 1000+tr.Rank()); err != nil {
			return err
		}
		return w.receive(tr, 1-tr.Rank(), collective.Tag{}, 1000+1-tr.Rank())
	})
	for r, tr := range w.ranks {
		s := tr.Stats()
		if s.BytesSent != uint64(1000+r) || s.BytesReceived != uint64(1001-r) || s.Corrupt != 0 {
			t.Errorf("rank %d: %+v", r, s)
		}
	}
}
