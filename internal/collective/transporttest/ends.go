package transporttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// testCancel ends calls by their context, after which the message can still be received. A call
// that was given up must leave no trace: neither a waiter that swallows the message nor a tag that
// counts as used.
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

// waiting starts a Recv on every rank, from the peer that from returns for it, and returns for each
// a channel that will have the error. All of them wait for the same tag, so a test can later
// satisfy any of them by sending it. A channel holds one error, so no goroutine is left behind when
// a test ends early.
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

// await returns the error of a call, which must end. A transport that forgets to wake a call fails
// its test after timeLimit, with errTimeout, instead of hanging the whole run.
func (w *world) await(end chan error) error {
	select {
	case err := <-end:
		return err
	case <-w.ctx.Done():
		return errTimeout
	}
}

// testCloseWakes closes one rank: its own call ends, and so do those that wait for it. The third
// pair of ranks must not notice: whether the attempt is over is for the engine to decide, not for
// the transport.
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

// wantPeer wants an error that blames a rank. The rank matters more than the text: it decides which
// shard is held to be at fault.
func wantPeer(t testing.TB, err error, rank int) {
	t.Helper()
	var peer *collective.PeerError
	if !errors.As(err, &peer) {
		t.Errorf("got %v, want a PeerError of rank %d", err, rank)
	} else if peer.Rank != rank {
		t.Errorf("got %v, want rank %d to be named", err, rank)
	}
}

// testCloseDelivers closes a rank right after it has sent. A rank closes as soon as its own work is
// done, so a Close that dropped what is in flight would fail the last receives of its peers. After
// those the receiver learns that nothing more comes.
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

// shortTimeout is for tests that wait for a silent peer to be lost. It is long enough for a loaded
// machine to deliver a sign of life in time, and short enough that each of those tests takes less
// than a second.
const shortTimeout = 300 * time.Millisecond

// testSilent makes one rank look hung: the ranks that wait for it blame it, and so do the ranks
// that wait for those. A hung process keeps its connection open, so nothing but silence tells.
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

// testNeverJoined waits for a rank that never comes. Otherwise one node that dies while it loads
// its model would hold up the others for ever.
func testNeverJoined(t *testing.T, open Open) {
	join := open(t, 2, Options{PeerTimeout: shortTimeout})
	w := joinAll(t, join, 1, 1)
	_, err := w.ranks[0].Recv(w.ctx, 1, collective.Tag{})
	wantPeer(t, err, 1)
}

// testBlame: rank 2 closes, and then rank 1, which waited for it. Rank 0, which waits for rank 1,
// has to blame rank 2: rank 1 is healthy, although it is the one that rank 0 has lost.
func testBlame(t *testing.T, open Open) {
	w := newWorld(t, open, 3, Options{})
	ends := w.waiting(func(rank int) int { return []int{1, 2, 0}[rank] })
	w.ranks[2].Close()
	wantPeer(t, w.await(ends[1]), 2)
	w.ranks[1].Close()
	wantPeer(t, w.await(ends[0]), 2)
}

// testStale ends an attempt by a newer one. Shards that were given up may still be computing. Their
// calls have to end, they must not enter again, and nothing that they still send may reach the
// newer attempt, which uses the same tags.
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
