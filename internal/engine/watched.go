package engine

import (
	"context"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// watchedTransport is a transport whose calls count as waiting for others, also where what a call
// waits for is there already: such waits are short.
type watchedTransport struct {
	collective.Transport
	watch Supervisor
}

// SameProcess implements collective.Colocated.
func (w watchedTransport) SameProcess(rank int) bool {
	return collective.SameProcess(w.Transport, rank)
}

// Send implements collective.Transport.
func (w watchedTransport) Send(ctx context.Context, to int, tag collective.Tag, data []byte) error {
	defer w.watch.Waiting()()
	return w.Transport.Send(ctx, to, tag, data)
}

// Recv implements collective.Transport.
func (w watchedTransport) Recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	defer w.watch.Waiting()()
	return w.Transport.Recv(ctx, from, tag)
}

// unwatched is the Supervisor of a rank whose Host is none, so that nothing has to ask whether
// there is one.
type unwatched struct{}

// Computed implements Supervisor.
func (unwatched) Computed(float64) {}

// Waiting implements Supervisor.
func (unwatched) Waiting() func() { return func() {} }

// Measured implements Supervisor.
func (unwatched) Measured(float64, time.Duration) {}
