package transporttest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// ChunkBytes is the chunk size that a transport under test should use, if it has one. It is far
// below what transports use in production, so that small and fast messages have many chunks.
const ChunkBytes = 512

// Options ask for a kind of world. An Open that cannot honour one of them tests less than the suite
// promises, so it should fail instead.
type Options struct {
	// PeerTimeout is the silence after which a peer is lost; 0: the transport's default.
	PeerTimeout time.Duration
	// Fault harms the frames that ranks send; nil: none. Only RunFaulty sets it.
	Fault *Fault
}

// Join opens the transport of one rank of an attempt. Ranks may join in any order, and late. An
// error means that the rank has not joined; the suite expects collective.ErrStale for an attempt
// older than the newest.
type Join func(rank int, attempt uint32) (collective.Transport, error)

// Open prepares what n ranks need to join, such as a server and endpoints, and cleans up with t.
type Open func(t testing.TB, n int, o Options) Join

// Silencer is a transport that can look hung: after Silence nothing comes from it or reaches it. A
// transport under test has to be one.
type Silencer interface{ Silence() }

// timeLimit ends a test that hangs. No result depends on it. It is generous because whole suites
// run in parallel on machines with two cores.
const timeLimit = 60 * time.Second

// world is a test's n ranks, all joined to one attempt. Its goroutines are counted by wg, so none
// outlives the test and reports into the next one.
type world struct {
	t testing.TB
	// Ends at timeLimit; every call of a test takes it.
	ctx context.Context
	// By rank; testLateJoin appends the ones that come later.
	ranks []collective.Transport
	wg    sync.WaitGroup
}

// newWorld opens a world of its own and joins all ranks.
func newWorld(t testing.TB, open Open, n int, o Options) *world {
	return joinAll(t, open(t, n, o), n, 1)
}

// joinAll joins the first n ranks of an attempt. They are closed with t. A failure to join ends the
// test at once, as nothing that follows could succeed.
func joinAll(t testing.TB, join Join, n int, attempt uint32) *world {
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	w := &world{t: t, ctx: ctx}
	for r := range n {
		tr, err := join(r, attempt)
		if err != nil {
			t.Fatalf("rank %d: %v", r, err)
		}
		w.ranks = append(w.ranks, tr)
	}
	t.Cleanup(func() {
		w.close()
		cancel()
	})
	return w
}

// close closes all ranks at once, since each may wait for the others.
func (w *world) close() {
	for _, r := range w.ranks {
		w.wg.Go(func() {
			if err := r.Close(); err != nil {
				w.t.Errorf("close: %v", err)
			}
		})
	}
	w.wg.Wait()
}

// each runs f for every rank at once, on goroutines of their own, and waits for all of them. All
// errors are reported, not only the first: in a failing exchange the second one usually names the
// culprit.
func (w *world) each(f func(tr collective.Transport) error) {
	w.t.Helper()
	for _, tr := range w.ranks {
		w.wg.Go(func() {
			if err := f(tr); err != nil {
				w.t.Errorf("rank %d: %v", tr.Rank(), err)
			}
		})
	}
	w.wg.Wait()
}

// blob returns n random bytes that follow from the message's name, so that a message that was mixed
// up with another one shows.
func blob(from, to int, tag collective.Tag, n int) []byte {
	seed := binary.LittleEndian.AppendUint64(nil, uint64(from)<<32|uint64(to))
	seed = binary.LittleEndian.AppendUint64(seed, uint64(tag.Step)<<32|uint64(tag.Op))
	b := collective.NewBuffer(n)
	_, _ = rand.NewChaCha8(sha256.Sum256(seed)).Read(b)
	return b
}

// sizes are those at which the cut into chunks changes, in bytes.
var sizes = []int{0, 1, ChunkBytes - 1, ChunkBytes, ChunkBytes + 1, 3*ChunkBytes + 7,
	100*ChunkBytes - 1}

// size returns one of sizes, which follows from the message's name.
func size(from, to int, tag collective.Tag) int {
	return sizes[(from*3+to*5+int(tag.Step)+int(tag.Op)*11)%len(sizes)]
}

// errTimeout says that a call did not end within timeLimit.
var errTimeout = errors.New("the call did not end")
