package sim

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// surroundings is the core.World of a member.
type surroundings struct{ m *member }

var _ core.World = surroundings{}

// Append implements core.World.
func (s surroundings) Append(entry []byte) (job.Record, error) { return s.m.append(entry) }

// Confirm implements core.World.
func (s surroundings) Confirm(done func(bool)) { done(s.m.r.leader == s.m.id && !s.m.down) }

// Send implements core.World.
func (s surroundings) Send(id job.NodeID, order any, limit time.Duration, done func(error)) {
	s.m.r.w.send(id, order, limit, done)
}

// PublishRoutes implements core.World. Modelled ranks need no routes.
func (s surroundings) PublishRoutes(wire.Routes) error { return nil }

// Deaf implements core.World.
func (s surroundings) Deaf() bool { return false }

// Disk implements core.World. There is room for everything.
func (s surroundings) Disk() core.Disk { return core.Disk{} }

// Speaks implements core.World. All members are of this version.
func (s surroundings) Speaks() (int, string) { return core.CommandVersion, "" }

// Random implements core.World.
func (s surroundings) Random(p []byte) {
	for i := range p {
		p[i] = byte(s.m.r.w.rng.Uint32())
	}
}

// Objects implements core.World.
func (s surroundings) Objects() core.Objects { return objects{s.m.r.w} }

// storeDelay is how long the store takes at most for an answer to the leader: less than an
// election, so that no deletion of a leader that was deposed meets what the next one has decided.
const storeDelay = 20 * time.Millisecond

// objects is the store as the leader uses it.
type objects struct{ w *world }

// later calls f once the store has had its time.
func (o objects) later(f func()) {
	took := latency
	if o.w.day == nil {
		took = o.w.between(0, storeDelay)
	}
	o.w.after(took, f)
}

// Find implements core.Objects.
func (o objects) Find(want []job.Object, done func(*job.Object, error)) {
	o.later(func() {
		for _, x := range want {
			_, err := o.w.store.Get(context.Background(), x)
			if errors.Is(err, artifact.ErrNotFound) {
				done(&x, nil)
				return
			}
			if err != nil {
				done(nil, err)
				return
			}
		}
		done(nil, nil)
	})
}

// List implements core.Objects.
func (o objects) List(done func([]string, error)) {
	o.later(func() { done(o.w.store.List(context.Background())) })
}

// Put implements core.Objects.
func (o objects) Put(data []byte, done func(error)) {
	o.later(func() {
		_, err := o.w.store.Put(context.Background(), bytes.NewReader(data))
		done(err)
	})
}

// Delete implements core.Objects.
func (o objects) Delete(all []job.Object, done func([]string)) {
	o.later(func() {
		var deleted []string
		for _, x := range all {
			if err := o.w.store.Delete(context.Background(), x); err == nil {
				deleted = append(deleted, x.Name)
			}
		}
		done(deleted)
	})
}
