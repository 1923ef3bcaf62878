package core

import (
	"cmp"
	"fmt"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// onSaved records a checkpoint: an attempt that is lost from here on resumes there. The objects of
// the checkpoints before it go into the trash, all but one: the latest may turn out to be damaged.
func (l *leader) onSaved(m wire.Saved) wire.Ack {
	before, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt})
	if !live {
		return l.refuse(m.Job, m.Attempt)
	}
	after, err := l.c.commit(command{Kind: kindSave, Job: m.Job, Attempt: m.Attempt,
		Checkpoint: &m.Checkpoint})
	if err != nil {
		return notRecorded(err)
	}
	l.c.observer.CheckpointSaved(*before, after)
	return wire.Ack{OK: true}
}

// onKept records a finished part of the work, such as the encoded prompt or the finished latents,
// which later attempts use.
func (l *leader) onKept(m wire.Kept) wire.Ack {
	_, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt, Rank: m.Rank})
	if !live {
		return l.refuse(m.Job, m.Attempt)
	}
	_, err := l.c.commit(command{Kind: kindKeep, Job: m.Job, Attempt: m.Attempt,
		Part: &part{m.Name, m.Object}})
	if err != nil {
		return notRecorded(err)
	}
	return wire.Ack{OK: true}
}

// onCompletion records a result once its objects were seen in the store. A repeat is acknowledged.
func (l *leader) onCompletion(m wire.Completion, reply func(wire.Ack)) {
	l.meter(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt}, m.Usage, true)
	r, done := l.claimed(m, reply)
	if done {
		return
	}
	if err := checkFormat(r.Spec, m.Result); err != nil {
		l.lose(r, l.setback(r, wire.Failure{Node: m.Node, Peer: -1, Reason: err.Error()}))
		reply(wire.Ack{Reason: err.Error(), Final: true})
		return
	}

	// Only what the store has is recorded: a result without its objects could not be served.
	store := l.c.world.Objects()
	if store == nil {
		reply(wire.Ack{Reason: "the object store is not open yet"})
		return
	}
	want := []job.Object{m.Result.Video, m.Result.Latents}
	store.Find(want, func(missing *job.Object, err error) {
		if l.inTerm() {
			l.complete(m, missing, err, reply)
		}
	})
}

// claimed returns the job that a node says it has completed. If there is nothing to record, it
// replies why and returns done.
func (l *leader) claimed(m wire.Completion, reply func(wire.Ack)) (r *job.Record, done bool) {
	r, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt})
	switch {
	case r.State == job.Completed && r.Attempt == m.Attempt:
		reply(wire.Ack{OK: true})
		return r, true
	case !live:
		reply(l.refuse(m.Job, m.Attempt))
		return r, true
	}
	return r, false
}

// complete records a result whose objects were looked for. The attempt may have ended meanwhile, or
// a repeat of the message may have been faster.
func (l *leader) complete(m wire.Completion, missing *job.Object, err error,
	reply func(wire.Ack)) {
	r, done := l.claimed(m, reply)
	switch {
	case done:
		return
	case err != nil:
		reply(wire.Ack{Reason: err.Error()})
		return
	case missing != nil:
		reason := fmt.Sprintf("object %s: file does not exist", missing.Name)
		l.fail(r, "the result cannot be served: "+reason)
		reply(wire.Ack{Reason: reason, Final: true})
		return
	}

	used := l.metering(r, true)
	end, err := l.c.commit(command{Kind: kindComplete, Job: m.Job, Attempt: m.Attempt,
		Result: &m.Result, Meter: used})
	if err != nil {
		reply(notRecorded(err))
		return
	}
	for _, o := range []job.Object{m.Result.Video, m.Result.Latents} {
		l.c.damage.note(o, nil) // it was stored just now, also for other jobs that have it
	}
	l.c.log.Info("job completed", "job", m.Job, "attempt", m.Attempt)
	l.told(used, end)
	l.calibrations = nil
	l.c.observer.JobEnded(end)
	reply(wire.Ack{OK: true})
}

// onFailure ends an attempt one of whose ranks could not finish, yielded, or was cancelled. Ranks
// repeat the message until it is acknowledged, so one that comes after the end of its attempt is
// acknowledged as well.
func (l *leader) onFailure(m wire.Failure) wire.Ack {
	r, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt, Rank: m.Rank})
	l.meter(m.Node, m.Work, m.Usage, false) // it may say more until it has returned
	if !live {
		if r.State != job.Running && r.Attempt == m.Attempt {
			return wire.Ack{OK: true} // a repeat, or the second rank to say so
		}
		return l.refuse(m.Job, m.Attempt)
	}

	if m.Cancelled && r.CancelRequested {
		used := l.metering(r, true)
		end, err := l.c.commit(command{Kind: kindCancelled, Job: m.Job, Attempt: m.Attempt,
			Meter: used})
		if err != nil {
			return notRecorded(err)
		}
		l.told(used, end)
		l.c.observer.JobEnded(end)
		l.stopRanks(end.Plan, false, "the job was cancelled")
		return wire.Ack{OK: true}
	}

	// Final failures would come again in every attempt: the request itself cannot be carried out.
	if m.Final {
		l.fail(r, l.failureReason(r, m))
	} else {
		l.lose(r, l.setback(r, m))
	}
	if again, ok := l.c.machine.Record(m.Job); ok && again.State == job.Running &&
		again.Attempt == m.Attempt {
		return wire.Ack{Reason: "not recorded yet"}
	}
	return wire.Ack{OK: true}
}

// setback turns a failure report into what is recorded. A rank that blames nobody else has its own
// node blamed.
func (l *leader) setback(r *job.Record, m wire.Failure) job.Setback {
	// A checkpoint that is later than the one that could not be read is not damaged by that.
	b := job.Setback{Reason: l.failureReason(r, m),
		Damaged: m.Damaged && r.Checkpoint == r.Plan.Resume}
	switch {
	case m.Yielded:
		b.Planned = true
		b.Reason = cmp.Or(l.yieldRequests[r.ID], "it was asked to stop at a step boundary")
	case m.Peer < 0 && !m.Damaged:
		b.Own = true
		l.blame(r.ID, m.Node)
	}
	return b
}

// failureReason turns a failure report into a job's error: who failed, where and why, and whom it
// blames.
func (l *leader) failureReason(r *job.Record, m wire.Failure) string {
	text := fmt.Sprintf("node %s (rank %d) failed%s: %s", l.nodeName(m.Node), m.Rank, l.stage(r),
		m.Reason)
	if m.Peer >= 0 && m.Peer < len(r.Plan.Nodes) && m.Peer != m.Rank {
		text += fmt.Sprintf("; it blames node %s (rank %d)", l.nodeName(r.Plan.Nodes[m.Peer]),
			m.Peer)
	}
	return text
}
