package coord

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/wire"
)

// In a locked cluster every message says in its subject under which certificate it was sent, and
// NATS has checked that. What a message says of itself is believed as far as it agrees with that.

// Reasons why messages and connections are refused, besides those of natsd.
const (
	refusedUnreadable = "unreadable" // the message is not one of its subject's
	refusedIdentity   = "identity"   // it is of a node of another identity
	refusedReply      = "reply"      // the answer would go to others than who asked
	refusedObject     = "object"     // it is none of the sender's jobs'
)

// refusalReasons are all, so that metrics show each from the start.
func refusalReasons() []string {
	all := []string{refusedUnreadable, refusedIdentity, refusedReply, refusedObject}
	for _, r := range natsd.RefusalReasons {
		all = append(all, string(r))
	}
	return all
}

// refusalEvery is the time between two lines of the log on refusals for one reason.
const refusalEvery = 10 * time.Second

// refusals counts what is refused and logs it, but not as often as somebody likes to try.
type refusals struct {
	metrics *metrics
	log     *slog.Logger
	audit   *auditor // nil: it is not open yet
	locked  bool     // subjects say who has sent a message

	mu    sync.Mutex
	last  map[string]time.Time // of the latest line, by reason
	since map[string]int       // refusals after it
}

// note takes down a refusal, from any goroutine.
func (r *refusals) note(reason, what string, args ...any) {
	r.metrics.refused.WithLabelValues(reason).Inc()
	if r.audit != nil {
		by := core.Actor{}
		if r.locked {
			by.Name = speakerOf(args)
		}
		r.audit.refuse(refusal{by, "node.message", reason, r.audit.id}, 1)
	}

	// Metrics and the audit log count all of them, the log has a line now and then.
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since[reason]++
	now := time.Now()
	if last, ok := r.last[reason]; ok && now.Sub(last) < refusalEvery {
		return
	}
	r.log.Warn(what, append(args, "reason", reason, "times", r.since[reason])...)
	r.last[reason], r.since[reason] = now, 0
}

// speakerOf is the identity under which a message was sent, as its subject says; "" if none
// is named.
func speakerOf(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		if subject, ok := args[i+1].(string); ok && args[i] == "subject" {
			return wire.Speaker(subject)
		}
	}
	return ""
}

// lock is how this coordinator's NATS is closed: to clients but shards, each of which has its own
// subjects, and to servers but other coordinators'.
func (c *Coordinator) lock() natsd.Lock {
	return natsd.Lock{Identity: c.cfg.Identity, Clients: pki.RoleShard, Routes: pki.RoleCoordinator,
		Permit: func(id pki.ID) (p natsd.Permissions) {
			p.Publish, p.Subscribe = wire.ShardSubjects(id.Name)
			return p
		},
		Refused: func(r natsd.Refusal) {
			c.refusals.note(string(r.Reason), "nats refuses", "line", r.Line)
		}}
}

// locked reports whether nodes have to say who they are.
func (c *Coordinator) locked() bool { return c.cfg.Identity != nil }

// heardOn is the subject on which the leader hears messages of a kind; "": not at all.
func (c *Coordinator) heardOn(kind core.Message) string {
	if c.locked() {
		return wire.Said(kind.Subject, "*")
	}
	if kind.Subject == wire.SubjectMeasure {
		return ""
	}
	return kind.Subject
}

// speaker returns the identity that has sent a message, "" in an open cluster. ok is false if the
// answer would go to somebody else: NATS lets a client name any subject for it, also one on which
// the client itself may say nothing.
func (c *Coordinator) speaker(m *nats.Msg) (identity string, ok bool) {
	if !c.locked() {
		return "", true
	}
	identity = wire.Speaker(m.Subject)
	if !wire.AnswersOwn(identity, m.Reply) {
		c.refusals.note(refusedReply, "a message is refused", "subject", m.Subject, "reply", m.Reply)
		return identity, false
	}
	return identity, true
}

// handle hands a message to the core; in the loop. On a follower there is no answer: the node
// asks again.
func (c *Coordinator) handle(from string, m *nats.Msg, in any) {
	err := c.ownObjects(from, in)
	if err == nil {
		err = c.core.Handle(from, in, func(a any) { c.respond(m, a) })
	}
	switch {
	case errors.Is(err, artifact.ErrRefused):
		c.refusals.note(refusedObject, "a message is refused", "subject", m.Subject, "error", err)
		c.respond(m, wire.Ack{Reason: err.Error(), Final: true})
	case errors.Is(err, core.ErrForeign):
		c.refusals.note(refusedIdentity, "a message is refused", "subject", m.Subject, "error", err)
		c.respond(m, wire.Ack{Reason: err.Error(), Final: true})
	case err != nil:
		c.log.Debug("a message was not handled", "subject", m.Subject, "error", err)
	}
}
