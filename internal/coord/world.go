package coord

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// world is what the core sees of Raft, NATS and the disk. Its methods run in the loop; what may
// take long runs on a goroutine of its own, whose result comes back as an event.
type world struct{ c *Coordinator }

var _ core.World = world{}

// Append implements core.World. While Raft replicates the entry the loop serves reads, among them
// the application of this very entry.
func (w world) Append(entry []byte) (job.Record, error) {
	done := make(chan outcome, 1)
	go func() { done <- w.c.append(entry) }()
	out := await(w.c.loop, done)
	return out.record, out.err
}

// append replicates an entry, on the caller's goroutine, which must not be the loop's.
func (c *Coordinator) append(entry []byte) outcome {
	c.committing.RLock()
	defer c.committing.RUnlock()
	start := time.Now()
	out := c.cons.do(entry)
	c.metrics.commit.Observe(time.Since(start).Seconds())
	return out
}

// Confirm implements core.World.
func (w world) Confirm(done func(bool)) {
	term := w.c.term.number
	w.c.goPost(func() func() {
		leads := w.c.cons.leadsIn(term)
		return func() { done(leads) }
	})
}

// Send implements core.World.
func (w world) Send(node job.NodeID, order any, limit time.Duration, done func(error)) {
	var subject string
	identity := w.c.core.Identity(node)
	switch order.(type) {
	case wire.StartOrder:
		subject = wire.SubjectStart(identity, node)
	case wire.Stop:
		subject = wire.SubjectStop(identity, node)
	case wire.Probe:
		subject = wire.SubjectProbe(identity, node)
	default:
		panic(fmt.Sprintf("coord: a %T is no order", order))
	}

	ctx := w.c.term.ctx
	w.c.goPost(func() func() {
		err := w.c.order(ctx, subject, order, limit)
		if err != nil && ctx.Err() != nil {
			return func() {} // the node may have it: what that means is for the next leader to say
		}
		return func() { done(err) }
	})
}

// order sends an order and waits until the node has acknowledged it.
func (c *Coordinator) order(ctx context.Context, subject string, order any, limit time.Duration,
) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := c.broker.conn.RequestWithContext(ctx, subject, wire.Encode(order))
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	ack, err := wire.Decode[wire.Ack](m.Data)
	if err != nil {
		return err
	}
	if !ack.OK {
		return fmt.Errorf("refused: %.500s", ack.Reason)
	}
	return nil
}

// PublishRoutes implements core.World. Nodes that miss it hear of the routes when they register.
func (w world) PublishRoutes(r wire.Routes) error {
	return w.c.broker.conn.Publish(wire.SubjectRoutes, wire.Encode(r))
}

// Deaf implements core.World.
func (w world) Deaf() bool { return w.c.broker.away.Load() }

// Disk implements core.World.
func (w world) Disk() core.Disk { return w.c.space.disk() }

// Speaks implements core.World.
func (w world) Speaks() (int, string) { return w.c.speaks() }

// Random implements core.World.
func (w world) Random(p []byte) { rand.Read(p) } //nolint:errcheck // never fails

// Objects implements core.World.
func (w world) Objects() core.Objects {
	if s := w.c.objects.Load(); s != nil {
		return objects{w.c, *s, w.c.term.ctx}
	}
	return nil
}

// storeTime bounds what the leader does with the object store at a time.
const storeTime = 2 * time.Second

// objects is the object store for one term. What it does ends with the term, but for a request that
// is on its way to JetStream.
type objects struct {
	c     *Coordinator
	store artifact.Store
	term  context.Context // of the leader that asks
}

// do runs f with a limit on a goroutine, then what it returned as an event.
func (o objects) do(limit time.Duration, f func(ctx context.Context) func()) {
	o.c.goPost(func() func() {
		ctx, cancel := context.WithTimeout(o.term, limit)
		defer cancel()
		return f(ctx)
	})
}

// Find implements core.Objects. Among several coordinators it looks again for a while before it
// says that an object is missing: the replica that answers may lag behind.
func (o objects) Find(want []job.Object, done func(*job.Object, error)) {
	o.do(o.c.cfg.Timing.Order, func(ctx context.Context) func() {
		for _, x := range want {
			r, err := find(ctx, o.c, x, artifact.Store.Get)
			if errors.Is(err, ErrNotFound) {
				return func() { done(&x, nil) }
			}
			if err != nil {
				return func() { done(nil, err) }
			}
			r.Close() //nolint:errcheck // nothing was read
		}
		return func() { done(nil, nil) }
	})
}

// List implements core.Objects.
func (o objects) List(done func([]string, error)) {
	o.do(storeTime, func(ctx context.Context) func() {
		names, err := o.store.List(ctx)
		return func() { done(names, err) }
	})
}

// Put implements core.Objects.
func (o objects) Put(data []byte, done func(error)) {
	o.do(storeTime, func(ctx context.Context) func() {
		_, err := o.store.Put(ctx, bytes.NewReader(data))
		return func() { done(err) }
	})
}

// Delete implements core.Objects. Objects that cannot be deleted are logged, and tried again by a
// later sweep.
func (o objects) Delete(all []job.Object, done func([]string)) {
	o.do(storeTime, func(ctx context.Context) func() {
		var deleted []string
		for _, x := range all {
			if err := o.store.Delete(ctx, x); err != nil {
				o.c.log.Warn("cannot delete an object", "object", x.Name, "error", err)
				continue
			}
			deleted = append(deleted, x.Name)
		}
		return func() { done(deleted) }
	})
}
