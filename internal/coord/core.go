package coord

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// Core is a coordinator's mind without its body: the replicated machine, the leader's memory and
// decisions, on a clock, a log and a network that the caller provides. Simulations drive it; it is
// not safe for use by several goroutines.
type Core struct{ c *Coordinator }

// World is what surrounds a Core.
type World struct {
	// Append puts an entry into the log, committed by a majority, and applies it to this core (with
	// Apply). It returns an error that wraps ErrNotLeader where the core has lost its office.
	Append func(entry []byte) (job.Record, error)
	// Send delivers an order to a node and calls done with why it was not acknowledged.
	Send func(node job.NodeID, order any, limit time.Duration, done func(error))
	// Leads asks a majority whether the core still leads.
	Leads func() bool
	// Random fills p, for ids.
	Random func(p []byte)
	// Objects is the store that nodes share.
	Objects artifact.Store
}

// NewCore returns a core with an empty machine that does not lead.
func NewCore(cfg Config, w World) *Core {
	cfg.fill()
	c := &Coordinator{cfg: cfg, log: cfg.Log, kick: make(chan struct{}, 1), random: w.Random,
		confirm: w.Leads}
	c.hub = &hub{view: c.view, watchers: map[job.ID][]*watcher{}}
	c.ended = make(chan struct{})
	c.fsm = &fsm{state: newState(), changed: c.changed, stop: c.fail}
	c.metrics = newMetrics(c)
	c.objects.Store(&w.Objects)
	c.decide = func(cmd command) (outcome, error) {
		data, err := cmd.encode()
		if err != nil {
			return outcome{}, err
		}
		r, err := w.Append(data)
		if errors.Is(err, ErrNotLeader) {
			return outcome{}, err
		}
		return outcome{r, err}, nil
	}
	c.outboxOf = func(*leader) outbox { return worldOutbox{w} }
	return &Core{c}
}

type worldOutbox struct{ World }

func (o worldOutbox) publish(string, any) error { return nil }

func (o worldOutbox) request(subject string, order any, limit time.Duration, done func(error)) {
	o.Send(wire.NodeOf(subject), order, limit, done)
}

// Apply applies a committed entry, in the order of the log.
func (k *Core) Apply(index uint64, entry []byte) (job.Record, error) {
	out := k.c.fsm.Apply(&raft.Log{Index: index, Data: entry}).(outcome)
	return out.record, out.err
}

// Lead takes office; Resign leaves it. The core has applied all committed entries by then.
func (k *Core) Lead() { k.c.lead.Store(newLeader(context.Background(), k.c)) }

// Resign forgets all that is not replicated.
func (k *Core) Resign() { k.c.resign() }

// Leads reports whether the core believes that it leads.
func (k *Core) Leads() bool { return k.c.lead.Load() != nil }

// Tick does the leader's periodic work.
func (k *Core) Tick() {
	if l := k.c.lead.Load(); l != nil {
		l.tick()
	}
}

// Settle looks at the queue, if something has happened since the last time that calls for it.
func (k *Core) Settle() {
	for range settleMax {
		select {
		case <-k.c.kick:
			if l := k.c.lead.Load(); l != nil {
				l.schedule()
			}
		default:
			return
		}
	}
}

// settleMax ends a queue that never settles; the next tick goes on with it.
const settleMax = 16

// Handle answers a message of a node.
func (k *Core) Handle(m any) (any, error) {
	l, err := k.c.leader()
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case wire.Registration:
		return l.onRegister(m), nil
	case wire.Heartbeat:
		return l.onHeartbeat(m), nil
	case wire.Goodbye:
		return l.onGoodbye(m), nil
	case wire.Leave:
		return l.onLeave(m), nil
	case wire.Report:
		return l.onReport(m), nil
	case wire.Completion:
		return l.onCompletion(m), nil
	case wire.Saved:
		return l.onSaved(m), nil
	case wire.Kept:
		return l.onKept(m), nil
	case wire.Preview:
		return l.onPreview(m), nil
	case wire.Failure:
		return l.onFailure(m), nil
	}
	return nil, fmt.Errorf("cannot handle a %T", m)
}

// Err returns why the core takes no more entries, nil while it does.
func (k *Core) Err() error { return k.c.Err() }

// Service is what clients see.
func (k *Core) Service() Service { return k.c }

// Record returns a job of the machine.
func (k *Core) Record(id job.ID) (job.Record, bool) { return k.c.fsm.get(id) }

// Records returns all jobs in the order of their creation.
func (k *Core) Records() []job.Record { return k.c.fsm.all(nil) }

// Snapshot returns the machine's state, as Raft would write it.
func (k *Core) Snapshot() ([]byte, error) {
	s, err := k.c.fsm.Snapshot()
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// Restore replaces the machine's state by a snapshot.
func (k *Core) Restore(data []byte) error {
	return k.c.fsm.Restore(io.NopCloser(bytes.NewReader(data)))
}
