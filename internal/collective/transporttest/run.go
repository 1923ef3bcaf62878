package transporttest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/collective"
)

// Run holds a transport to the contract of package collective, each test in a world of its own.
//
// The network is left alone here, so the suite may also check what a lossy one hides: that Close
// delivers, that every byte is counted once and none as corrupt, and how soon a silent peer is
// lost.
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

// RunFaulty runs the tests whose results must not depend on the network, while a Fault drops,
// doubles, delays and corrupts a tenth of the frames each.
//
// With these rates two frames in five misbehave, so that a message of twenty chunks hardly ever
// arrives without retransmission. Tests of silence are left out, since a lost frame looks like a
// silent peer, and so is the test of what Close delivers, which is bounded by a linger time. A
// transport without frames, such as package mem, has nothing to run here. Each seed is a run of its
// own.
func RunFaulty(t *testing.T, open Open, seeds uint64) {
	for seed := range seeds {
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

// send and receive move one message of n bytes, which follow from sender, receiver and tag, and
// check it. Such a payload exposes a transport that delivers to the wrong rank or under the wrong
// tag, which equal payloads would hide.
func (w *world) send(tr collective.Transport, to int, tag collective.Tag, n int) error {
	return tr.Send(w.ctx, to, tag, blob(tr.Rank(), to, tag, n))
}

// receive is the other side of send. Its error does not fail the test by itself, so that tests may
// want a certain error.
func (w *world) receive(tr collective.Transport, from int, tag collective.Tag, n int) error {
	got, err := tr.Recv(w.ctx, from, tag)
	if err != nil {
		return err
	}
	return check(got, blob(from, tr.Rank(), tag, n))
}

// check wants the bytes that were sent, in an aligned buffer. Kernels read activations in place as
// float32, so an unaligned buffer would cost a copy or a fault.
func check(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("got %d bytes that differ from the %d sent", len(got), len(want))
	}
	if a := collective.Align(got); len(got) > 0 && &a[0] != &got[0] {
		return errors.New("the buffer is not aligned")
	}
	return nil
}

// testSizes moves messages of all sizes both ways between two ranks. It catches a last chunk that
// is cut wrongly, and an empty message that is never announced.
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

// testOrder receives messages in another order than they were sent in. Ranks need not work through
// the operations of a step in the same order, so a transport that keeps a queue per peer, and not a
// message per tag, would deadlock here or give the wrong bytes.
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

// testBurst sends many messages from every rank to every other at once, more than the credit
// windows take. This is what a layer's all-to-all looks like. A transport that holds a lock while
// it waits for credit, or whose receiver stops reading while it sends, deadlocks here; one that
// drops bursts loses bytes.
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

// burst sends and receives a message at once, in the background.
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

// testOwn has a rank send to itself. Callers need not treat their own rank as a special case, even
// where there is no other.
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

// testLateJoin sends before the receiver has joined. Nodes start at different times, and the first
// of them must neither fail nor lose what it has sent so far.
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

// testHandover clears the buffers that a rank received and those that it kept, which no other rank
// may see. Received buffers belong to the receiver, which computes in place. A transport that hands
// the same memory to two ranks, or keeps it for retransmission, delivers zeros here.
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

// testWrong calls with ranks that do not exist. These are the caller's mistakes: they must come
// back as errors at once, not panic and not wait for a peer that cannot exist. The same holds for
// groups that repeat, lack or invent a rank.
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

// testStats counts the bytes of one message each way. Bytes count once however often they are sent,
// or the reported bandwidth would rise with the loss.
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
