package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// listen subscribes to all that nodes say to the leader.
func (l *leader) listen() error {
	return errors.Join(
		answer(l, wire.SubjectRegister, l.onRegister),
		answer(l, wire.SubjectHeartbeat, l.onHeartbeat),
		answer(l, wire.SubjectGoodbye, l.onGoodbye),
		answer(l, wire.SubjectLeave, l.onLeave),
		answer(l, wire.SubjectProgress, l.onReport),
		answer(l, wire.SubjectComplete, l.onCompletion),
		answer(l, wire.SubjectFail, l.onFailure),
		answer(l, wire.SubjectSaved, l.onSaved),
		answer(l, wire.SubjectKept, l.onKept),
		answer(l, wire.SubjectPreview, l.onPreview),
		answer(l, wire.SubjectDisk, l.onDisk),
		l.c.broker.conn.Flush(),
	)
}

// answer subscribes f to a subject. Messages of one subject are handled in turn. One that cannot be
// read is refused, with an answer that reads as a refusal in every message type.
func answer[M, A any](l *leader, subject string, f func(M) A) error {
	sub, err := l.c.broker.conn.Subscribe(subject, func(m *nats.Msg) {
		if l.ctx.Err() != nil {
			return
		}
		in, err := wire.Decode[M](m.Data)
		if err != nil {
			l.c.metrics.refused.Inc()
			l.c.log.Warn("bad message", "subject", subject, "error", err)
			reply(l, m, wire.Ack{Reason: err.Error(), Final: true})
			return
		}
		reply(l, m, f(in))
	})
	if err != nil {
		return fmt.Errorf("cannot subscribe to %s: %w", subject, err)
	}
	l.subs = append(l.subs, sub)
	return nil
}

func reply(l *leader, m *nats.Msg, a any) {
	if m.Reply == "" {
		return
	}
	if err := m.Respond(wire.Encode(a)); err != nil {
		l.c.log.Warn("cannot answer", "subject", m.Subject, "error", err)
	}
}

// onRegister takes a node in if it holds the cluster's model.
func (l *leader) onRegister(r wire.Registration) wire.Welcome {
	t := l.c.cfg.Timing
	if err := l.agree(r.Model); err != nil {
		final := !errors.Is(err, ErrNotLeader)
		return wire.Welcome{Reason: err.Error(), Final: final}
	}
	if err := l.admit(r); err != nil {
		return wire.Welcome{Reason: err.Error()}
	}
	w := wire.Welcome{Accepted: true, Leader: l.c.cfg.ID, Interval: t.Heartbeat,
		LostAfter: t.LostAfter}
	w.Stop = r.Work != (wire.Work{}) && !l.sign(r.Node, r.Work) && l.c.confirm()
	l.mu.Lock()
	w.Routes = l.routes(r.Node)
	l.mu.Unlock()
	l.publishRoutes()
	l.c.wake()
	return w
}

// agree makes m the cluster's model if it has none that is good, and refuses another than that one.
// Shards that hold what it succeeds get no more work. Where no shard is registered, another model
// takes the place of one that no job needs: who comes first does not decide for ever.
func (l *leader) agree(m job.Model) error {
	if have := l.c.fsm.model(); have.Fingerprint == m.Fingerprint {
		return nil
	}
	l.mu.Lock()
	alone := len(l.nodes) == 0 && l.c.cfg.Clock().After(l.since.Add(l.c.cfg.Timing.Grace))
	l.mu.Unlock()
	if _, err := l.c.commit(command{Kind: kindModel, Model: &m, Replace: alone}); err != nil {
		return err
	}
	for _, n := range m.Notices {
		l.c.log.Warn("the model is used with a notice", "model", m.Name, "notice", n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, n := range l.nodes {
		if n.reg.Model.Fingerprint != m.Fingerprint {
			l.remove(id, "holds other weights than this cluster serves by now")
		}
	}
	return nil
}

// admit puts a node into the table, in the place of an earlier process at the same route. It
// refuses one whose results would differ in their bits from those of the nodes that are there.
func (l *leader) admit(r wire.Registration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, n := range l.nodes {
		// Shards of one process share its data plane.
		sibling := r.ProcessID != "" && n.reg.ProcessID == r.ProcessID
		if id != r.Node && r.Route != "" && n.reg.Route == r.Route && !sibling {
			l.remove(id, "was replaced by a new process at "+r.Route)
		}
	}
	for id, n := range l.nodes {
		if id != r.Node && n.reg.Arithmetic != r.Arithmetic {
			return fmt.Errorf("the shards of this cluster compute with %s, this one with %s, which "+
				"rounds differently; set LONGTAKE_CPU, or LONGTAKE_CUDA, to the same on all",
				n.reg.Arithmetic, r.Arithmetic)
		}
	}
	old := l.nodes[r.Node]
	if old == nil && len(l.nodes) >= l.c.cfg.Limits.Nodes {
		return fmt.Errorf("%d nodes are registered; allowed: %d", len(l.nodes), l.c.cfg.Limits.Nodes)
	}
	now := l.c.cfg.Clock()
	n := &node{reg: r, since: now, seen: now, started: now.Add(-r.Uptime)}
	n.beat = wire.Heartbeat{Node: r.Node, State: wire.Idle, Work: r.Work}
	if r.Work != (wire.Work{}) {
		n.beat.State = wire.Busy
	}
	if old != nil {
		n.since = old.since
	} else {
		l.c.log.Info("node registered", "node", r.Node, "name", r.Name, "device", r.Device,
			"start", r.ProcessID)
		if own := l.c.cfg.Version; r.Version != own {
			l.c.log.Warn("a node runs another version of longtake than this coordinator; update what is "+
				"older", "node", r.Node, "name", r.Name, "version", r.Version, "coordinator", own)
		}
	}
	delete(l.gone, r.Node)
	l.nodes[r.Node] = n
	return nil
}

// sign notes that a node says it works on w, and tells whether w is live.
func (l *leader) sign(id job.NodeID, w wire.Work) bool {
	_, live := l.live(id, w)
	if live && w.Rank == 0 {
		l.mu.Lock()
		l.alive[w.Job] = l.c.cfg.Clock()
		l.mu.Unlock()
	}
	return live
}

func (l *leader) onHeartbeat(h wire.Heartbeat) wire.Pulse {
	l.mu.Lock()
	n := l.nodes[h.Node]
	if n == nil {
		l.mu.Unlock()
		return wire.Pulse{Register: true}
	}
	freed := n.beat.State != wire.Idle && h.State == wire.Idle
	n.beat, n.seen = h, l.c.cfg.Clock()
	l.mu.Unlock()
	if freed {
		l.c.wake()
	}
	st, _ := l.c.space.state()
	if h.Work == (wire.Work{}) {
		return wire.Pulse{}
	}
	if !l.sign(h.Node, h.Work) {
		return wire.Pulse{Stop: !l.over(h) && l.c.confirm()}
	}
	r, _ := l.c.fsm.get(h.Work.Job)
	l.mu.Lock()
	_, yield := l.asks[r.ID]
	l.mu.Unlock()
	return wire.Pulse{Cancel: r.CancelRequested, Yield: yield && !r.CancelRequested,
		Full: st >= full, Stuck: st >= stuck}
}

// over reports whether h's rank is of an attempt that completed: it ends by itself.
func (l *leader) over(h wire.Heartbeat) bool {
	r, ok := l.c.fsm.get(h.Work.Job)
	return ok && r.State == job.Completed && r.Attempt == h.Work.Attempt
}

func (l *leader) onGoodbye(g wire.Goodbye) wire.Ack {
	l.mu.Lock()
	known := l.nodes[g.Node] != nil
	l.remove(g.Node, "was shut down")
	l.mu.Unlock()
	if known {
		l.publishRoutes()
		l.c.wake()
	}
	return wire.Ack{OK: true}
}

// onReport keeps the progress of a live attempt, in memory only.
func (l *leader) onReport(r wire.Report) wire.Ack {
	p := r.Progress
	if !l.sign(r.Node, wire.Work{Job: p.Job, Attempt: p.Attempt}) {
		l.c.metrics.stale.Inc()
		return wire.Ack{Reason: "this attempt is not live", Final: true}
	}
	l.mu.Lock()
	l.progress[p.Job] = p
	pace := l.paces[p.Job]
	pace.Advance(p, l.c.cfg.Clock())
	l.paces[p.Job] = pace
	if n := l.nodes[r.Node]; n != nil {
		n.seen = l.c.cfg.Clock()
	}
	l.mu.Unlock()
	l.c.hub.notify(p.Job)
	return wire.Ack{OK: true}
}

// onCompletion records a result once its objects are seen to exist. A repeat is acknowledged.
func (l *leader) onCompletion(m wire.Completion) wire.Ack {
	r, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt})
	if r.State == job.Completed && r.Attempt == m.Attempt {
		return wire.Ack{OK: true}
	}
	if !live {
		return l.refuse(m.Job, m.Attempt)
	}
	if err := asAsked(r.Spec, m.Result); err != nil {
		l.lose(r, l.setback(r, wire.Failure{Node: m.Node, Peer: -1, Reason: err.Error()}))
		return wire.Ack{Reason: err.Error(), Final: true}
	}
	if err := l.verify(m.Result); errors.Is(err, fs.ErrNotExist) {
		l.fail(r, "the result cannot be served: "+err.Error())
		return wire.Ack{Reason: err.Error(), Final: true}
	} else if err != nil {
		return wire.Ack{Reason: err.Error()}
	}
	end, err := l.c.commit(command{Kind: kindComplete, Job: m.Job, Attempt: m.Attempt,
		Result: &m.Result})
	if err != nil {
		return l.later(err)
	}
	for _, o := range []job.Object{m.Result.Video, m.Result.Latents} {
		l.c.harm.note(o, nil) // it was stored just now, also for other jobs that have it
	}
	l.c.log.Info("job completed", "job", m.Job, "attempt", m.Attempt)
	l.ended(end)
	return wire.Ack{OK: true}
}

// verify looks for the objects of a result.
func (l *leader) verify(res job.Result) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.c.cfg.Timing.Order)
	defer cancel()
	for _, o := range []job.Object{res.Video, res.Latents} {
		r, err := find(ctx, l.c, o, artifact.Store.Get)
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("object %s: %w", o.Name, fs.ErrNotExist)
		}
		if err != nil {
			return err
		}
		r.Close() //nolint:errcheck // nothing was read
	}
	return nil
}

// onSaved records a checkpoint: from here on an attempt that is lost goes on there.
func (l *leader) onSaved(m wire.Saved) wire.Ack {
	before, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt})
	if !live {
		return l.refuse(m.Job, m.Attempt)
	}
	after, err := l.c.commit(command{Kind: kindSave, Job: m.Job, Attempt: m.Attempt,
		Checkpoint: &m.Checkpoint})
	if err != nil {
		return l.later(err)
	}
	l.c.metrics.saved(before, after)
	return wire.Ack{OK: true}
}

// onKept records a part: later attempts use it.
func (l *leader) onKept(m wire.Kept) wire.Ack {
	_, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt, Rank: m.Rank})
	if !live {
		return l.refuse(m.Job, m.Attempt)
	}
	_, err := l.c.commit(command{Kind: kindKeep, Job: m.Job, Attempt: m.Attempt,
		Part: &part{m.Name, m.Object}})
	if err != nil {
		return l.later(err)
	}
	return wire.Ack{OK: true}
}

// onFailure ends an attempt one of whose ranks could not finish, or that was cancelled.
func (l *leader) onFailure(m wire.Failure) wire.Ack {
	r, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt, Rank: m.Rank})
	if !live {
		if r.State != job.Running && r.Attempt == m.Attempt {
			return wire.Ack{OK: true} // a repeat, or the second rank to say so
		}
		return l.refuse(m.Job, m.Attempt)
	}
	if m.Cancelled && r.CancelRequested {
		end, err := l.c.commit(command{Kind: kindCancelled, Job: m.Job, Attempt: m.Attempt})
		if err != nil {
			return l.later(err)
		}
		l.ended(end)
		l.stopAll(end.Plan, false, "the job was cancelled")
		return wire.Ack{OK: true}
	}
	if m.Final {
		l.fail(r, l.reason(r, m))
	} else {
		l.lose(r, l.setback(r, m))
	}
	if again, ok := l.c.fsm.get(m.Job); ok && again.State == job.Running &&
		again.Attempt == m.Attempt {
		return wire.Ack{Reason: "not recorded yet"}
	}
	return wire.Ack{OK: true}
}

// setback turns a failure report into what is recorded. A rank that blames nobody else brings its
// node into blame.
func (l *leader) setback(r job.Record, m wire.Failure) job.Setback {
	// A later checkpoint than the one that could not be read is none the worse for it.
	b := job.Setback{Reason: l.reason(r, m), Damaged: m.Damaged && r.Checkpoint == r.Plan.Resume}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case m.Yielded:
		b.Planned, b.Reason = true, cmp.Or(l.asks[r.ID], "it was asked to stop at a step boundary")
	case m.Peer < 0 && !m.Damaged:
		b.Own = true
		l.blame(r.ID, m.Node)
	}
	return b
}

// reason turns a failure report into a job's error: who, what, where, and whom it blames.
func (l *leader) reason(r job.Record, m wire.Failure) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("node %s (rank %d) failed%s: %s", l.name(m.Node), m.Rank, l.stage(r),
		m.Reason)
	if m.Peer >= 0 && m.Peer < len(r.Plan.Nodes) && m.Peer != m.Rank {
		text += fmt.Sprintf("; it blames node %s (rank %d)", l.name(r.Plan.Nodes[m.Peer]), m.Peer)
	}
	return text
}

// refuse answers a message of an attempt that is not live.
func (l *leader) refuse(id job.ID, a job.Attempt) wire.Ack {
	l.c.metrics.stale.Inc()
	return wire.Ack{Reason: fmt.Sprintf("attempt %d of job %s is not live", a, id), Final: true}
}

// later answers a message that could not be recorded: sending it again is of use unless the state
// machine refused it.
func (l *leader) later(err error) wire.Ack {
	final := errors.Is(err, job.ErrTransition) || errors.Is(err, job.ErrStale) ||
		errors.Is(err, ErrNotFound)
	return wire.Ack{Reason: err.Error(), Final: final}
}
