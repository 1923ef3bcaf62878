package core

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/job"
)

// auditState is where the chain of the audit log stands. Its entries are in files of each
// coordinator; here is only what the next one follows.
type auditState struct {
	audit.Head
	// Secret is the key under which prompts are hashed, in hex: without it nobody can try them out.
	Secret string `json:"secret,omitempty"`
	// Recent are the last entries: a coordinator that lags a little, and is sent a snapshot in place
	// of the log, has them from here.
	Recent []audit.Entry `json:"recent,omitempty"`
}

// Of the entries that snapshots have with them.
const (
	recentMax      = 32
	recentBytesMax = 128 << 10 // of their long texts
)

const (
	kindAuditBegin kind = "audit-begin" // begins the chain
	kindAudit      kind = "audit"       // writes down what no other command says
)

// auditing is what the commands of the audit log have.
type auditing struct {
	Secret string  `json:"secret,omitempty"`
	Events []Event `json:"events,omitempty"`
}

// Event is something that clients have asked for and that no command says, such as what was
// refused.
type Event struct {
	Actor   Actor             `json:"actor,omitzero"`
	Action  string            `json:"action"`
	Object  string            `json:"object,omitempty"`
	Outcome string            `json:"outcome"`
	Reason  string            `json:"reason,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}

// Limits of what a command may add to the audit log.
const (
	EventsMax       = 256 // events of a command
	eventDetailsMax = 16
	eventTextMax    = 1024 // bytes of each text
)

// Ways of writing prompts down.
const (
	PromptsHash = "hash" // by HMAC-SHA-256 under the cluster's secret
	PromptsKeep = "keep"
	PromptsOmit = "omit"
)

// prompt is a prompt as the audit log has it. How is in the command, so that all coordinators write
// the same, whatever their settings.
func (s *state) prompt(how, text string) string {
	switch {
	case text == "" || how == PromptsOmit:
		return ""
	case how == PromptsKeep:
		return text
	}
	secret, err := hex.DecodeString(s.audit.Secret)
	if err != nil || len(secret) == 0 {
		return "" // the chain has not begun, and there is no entry
	}
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text)) //nolint:errcheck // never fails
	return "hmac-sha256:" + hex.EncodeToString(h.Sum(nil))
}

// applyAudit checks a command of the audit log. What it adds is added by entries, with those of all
// other commands.
func (s *state) applyAudit(c command) error {
	a := c.Audit

	// The secret is drawn by the leader, so that all coordinators have the same.
	switch {
	case a == nil:
		return fmt.Errorf("cannot apply an incomplete %s command", c.Kind)
	case c.Kind == kindAuditBegin && len(a.Secret) != 2*sha256.Size:
		return fmt.Errorf("cannot begin the audit log with a secret of %d digits", len(a.Secret))
	case c.Kind == kindAuditBegin:
		_, err := hex.DecodeString(a.Secret)
		return err
	case len(a.Events) > EventsMax:
		return fmt.Errorf("cannot apply %d events; allowed: %d", len(a.Events), EventsMax)
	}

	for _, e := range a.Events {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

// check bounds an event.
func (e Event) check() error {
	texts := []string{e.Actor.Owner, e.Actor.Name, e.Actor.Addr, e.Actor.Request, e.Action, e.Object,
		e.Outcome, e.Reason}
	for name, text := range e.Details {
		texts = append(texts, name, text)
	}
	for _, t := range texts {
		if len(t) > eventTextMax {
			return fmt.Errorf("cannot apply an event with a text of %d bytes; allowed: %d", len(t),
				eventTextMax)
		}
	}
	if len(e.Details) > eventDetailsMax || e.Action == "" {
		return fmt.Errorf("cannot apply an event %.64q with %d details", e.Action, len(e.Details))
	}
	return nil
}

// note returns the entries of a command that was applied, with err if it was refused, and moves the
// chain on. It is empty before the chain begins, and for what no client has asked for.
func (s *state) note(index uint64, c command, r job.Record, err error) (out []audit.Entry) {
	next := func(e audit.Entry) {
		e.Index, e.Time = index, c.Now
		e, s.audit.Head = s.audit.Next(e)
		out = append(out, e)
		s.audit.remember(e)
	}

	// Before the chain begins nothing is written, whatever is asked for: coordinators of before would
	// come to another state.
	describe := audited[c.Kind]
	switch {
	case c.Kind == kindAuditBegin:
		if err == nil && s.audit.Seq == 0 {
			s.audit.Secret = c.Audit.Secret
			next(audit.Entry{Action: "audit.begin", Object: s.cluster, Outcome: audit.OK})
		}

	// Events have their own actors: the command is of the leader, on behalf of many.
	case s.audit.Seq == 0:
	case c.Kind == kindAudit && err == nil:
		for _, e := range c.Audit.Events {
			next(audit.Entry{Actor: audit.Actor(e.Actor), Action: e.Action, Object: e.Object,
				Outcome: e.Outcome, Reason: e.Reason, Details: maps.Clone(e.Details)})
		}
	case c.By != nil && describe != nil:
		e := audit.Entry{Actor: audit.Actor(*c.By), Outcome: audit.OK}
		if e.Action, e.Object, e.Details = describe(s, c, r); e.Action == "" {
			break
		}
		if err != nil {
			e.Outcome, e.Reason = audit.Refused, err.Error()
		}
		next(e)
	}
	return out
}

// remember keeps an entry with the last ones, as far as there is room. The list is replaced, never
// written through.
func (a *auditState) remember(e audit.Entry) {
	a.Recent = append(slices.Clip(a.Recent), e)
	bytes := 0
	for i := len(a.Recent) - 1; i >= 0; i-- {
		bytes += len(a.Recent[i].Reason)
		for _, text := range a.Recent[i].Details {
			bytes += len(text)
		}
		if len(a.Recent)-i > recentMax || bytes > recentBytesMax {
			a.Recent = a.Recent[i+1:]
			return
		}
	}
}

// AuditHead returns where the chain of the audit log stands; zero: it has not begun, since not all
// coordinators know it yet.
func (m *Machine) AuditHead() audit.Head { return m.state.audit.Head }

// AuditRecent returns the last entries of the chain, as a snapshot has them.
func (m *Machine) AuditRecent() []audit.Entry { return m.state.audit.Recent }

// Audited returns the entries that the latest Apply led to.
func (m *Machine) Audited() []audit.Entry { return m.audited }

// Succeed takes over from the machine before what a restored snapshot must not turn back: the chain
// of the audit log, the version of commands, whom the cluster believes, and what has become of
// keys: one that was revoked, or whose text was replaced since it leaked, would let in again.
func (m *Machine) Succeed(before *Machine) {
	m.state.audit = before.state.audit
	m.state.version = max(m.state.version, before.state.version)
	m.keepAuthority(before.state.authority)
	for id, k := range before.state.access.Keys {
		if _, saved := m.state.access.Keys[id]; saved {
			m.state.access.Keys[id] = k
		}
	}
}

// beginAudit begins the chain as soon as all coordinators know it.
func (l *leader) beginAudit() {
	if l.c.machine.AuditHead().Seq > 0 || since[kindAuditBegin] > l.c.machine.Version() {
		return
	}
	secret := make([]byte, sha256.Size)
	l.c.world.Random(secret)
	_, err := l.c.commit(command{Kind: kindAuditBegin,
		Audit: &auditing{Secret: hex.EncodeToString(secret)}})
	if err != nil {
		l.c.log.Warn("cannot begin the audit log", "error", err)
	}
}

// Note commits events to the audit log: up to EventsMax, whose texts are cut to what is allowed.
// They come from outside, and a text that is too long must not keep the others out. Before the
// chain has begun it does nothing. ErrNotLeader.
func (c *Core) Note(events ...Event) error {
	if !c.Leads() {
		return ErrNotLeader
	}
	if c.machine.AuditHead().Seq == 0 || len(events) == 0 {
		return nil
	}

	// The caller's events stay as they are.
	events = slices.Clone(events[:min(len(events), EventsMax)])
	for i := range events {
		events[i] = events[i].cut()
	}
	_, err := c.commit(command{Kind: kindAudit, Audit: &auditing{Events: events}})
	return err
}

// cut shortens texts that are too long. Half a character at the end becomes U+FFFD in JSON.
func (e Event) cut() Event {
	short := func(s string) string { return s[:min(len(s), eventTextMax)] }
	e.Actor = Actor{short(e.Actor.Owner), short(e.Actor.Name), short(e.Actor.Addr),
		short(e.Actor.Request)}
	e.Action, e.Object = short(cmp.Or(e.Action, "unknown")), short(e.Object)
	e.Outcome, e.Reason = short(e.Outcome), short(e.Reason)
	e.Details = maps.Clone(e.Details)
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		e.Details[name] = short(e.Details[name])
	}
	return e
}

// snapshot returns what a snapshot has of the chain; nil: it has not begun.
func (a auditState) snapshot() *auditState {
	if a.Seq == 0 {
		return nil
	}
	return &a
}

// check reports whether a chain can stand there.
func (a *auditState) check() error {
	if a == nil {
		return nil
	}
	secret, err := hex.DecodeString(a.Secret)
	if err == nil {
		err = a.Head.Check() // before entries are compared with it
	}

	// The last entries have to be of this chain: they go into the files as they are.
	var v audit.Verifier
	for _, e := range a.Recent {
		if err == nil {
			_, err = v.Next(e.Line())
		}
	}
	ends := v.Entries == 0 || v.Head() == a.Head
	if err != nil || !ends || a.Seq == 0 || len(secret) != 0 && len(secret) != sha256.Size {
		return &job.FieldError{Field: "audit", Value: fmt.Sprintf("entry %d, hash %.64q", a.Seq, a.Hash),
			Allowed: "the end of a chain, and a secret"}
	}
	return nil
}

// WithoutSecrets returns a snapshot for people to keep: it has all that was decided but what
// nobody may know.
func (s *Snapshot) WithoutSecrets() *Snapshot {
	out := *s
	if s.Audit != nil {
		out.Audit = &auditState{Head: s.Audit.Head}
	}
	out.Authority = s.Authority.public()
	return &out
}
