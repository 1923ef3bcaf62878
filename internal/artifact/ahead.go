package artifact

import (
	"context"
	"io"
	"sync"
)

// ahead reads chunks one after the other and asks for the next few before they are wanted, since
// the way to a coordinator and back takes as long as reading one. It is for one goroutine.
type ahead struct {
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup
	read   func(ctx context.Context, i int) ([]byte, error)
	total  int
	asked  int             // chunks that were asked for
	coming []chan aheadOne // of those, what was not taken yet, in order
	chunk  []byte          // what is left of the one before
}

// aheadOne is a chunk, or why there is none.
type aheadOne struct {
	data []byte
	err  error
}

// newAhead returns a reader of so many chunks. The caller closes it.
func newAhead(ctx context.Context, total int,
	read func(ctx context.Context, i int) ([]byte, error)) *ahead {
	a := &ahead{read: read, total: total}
	a.ctx, a.stop = context.WithCancel(ctx)
	return a
}

// fetch takes the next chunk, and asks for more. io.EOF after the last. A chunk's channel holds its
// answer, so that what nobody takes any more keeps no goroutine.
func (a *ahead) fetch() error {
	// The first one alone: where it cannot be read, the others cannot either.
	for most := min(a.asked+1, inFlight); len(a.coming) < most && a.asked < a.total; a.asked++ {
		i, one := a.asked, make(chan aheadOne, 1)
		a.coming = append(a.coming, one)
		a.wg.Go(func() {
			data, err := a.read(a.ctx, i)
			one <- aheadOne{data, err}
		})
	}
	if len(a.coming) == 0 {
		return io.EOF
	}

	// They are taken in order, whichever comes first.
	got := <-a.coming[0]
	a.coming, a.chunk = a.coming[1:], got.data
	return got.err
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.chunk) == 0 {
		if err := a.fetch(); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.chunk)
	a.chunk = a.chunk[n:]
	return n, nil
}

// Close implements io.Closer. It gives up what is on its way.
func (a *ahead) Close() error {
	a.stop()
	a.wg.Wait()
	return nil
}
