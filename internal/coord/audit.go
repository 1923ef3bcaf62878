package coord

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/wire"
)

// AuditConfig says what the audit log has, and how much of it is kept.
type AuditConfig struct {
	// Prompts is core.PromptsHash, PromptsKeep or PromptsOmit; that of the leader counts. Default: the
	// first.
	Prompts string
	// KeepBytes bounds the files: the oldest go first. Default: 1 GiB; below 0: no limit.
	KeepBytes int64
	// KeepFor is how long a file is kept; 0: no limit.
	KeepFor time.Duration
}

const (
	auditBytes   = 1 << 30     // of the files, by default
	refusedEvery = time.Second // between two commands about what was refused
	// refusedMax bounds the refusals that are told apart until then; the others are counted together.
	refusedMax = core.EventsMax - 1
	countMost  = 1 << 20 // of refusals that are told at once

	// refusedSpan is the time in which one more entry about refusals may be written, after as many as
	// are told apart: some 15 MB a day. Whoever likes could otherwise fill the files, of which the
	// oldest go. What waits is counted.
	refusedSpan = 2 * time.Second
)

// What a client's request leads to is written down in three ways. A command has its entry when it
// is applied: see core.Machine.Audited. What has no command of its own, such as a saved snapshot,
// is an event that is committed: see Coordinator.note. What was refused before that is counted, and
// the counts are committed as events, too.
//
// auditor is what the audit log has around the core: the files of this coordinator, which Raft's
// entries fill, and what was refused here since it was told to the leader. Its methods may be
// called from any goroutine.
type auditor struct {
	id    string
	log   *slog.Logger
	files *audit.Log
	noted time.Time // when the leader last committed what was refused; the loop's
	// spent is what was committed of it and is not yet made up for by time; the loop's.
	spent time.Duration

	mu      sync.Mutex
	refused map[refusal]int
	failed  bool // to write: said once
}

// refusal is what refusals are counted by.
type refusal struct {
	actor          core.Actor // without a request, and without a port
	action, reason string
	coordinator    string // which has refused
}

// openAudit opens the files of a coordinator.
func openAudit(cfg Config, spend func(func() error) error) (*auditor, error) {
	o := audit.Options{KeepFor: cfg.Audit.KeepFor, Spend: spend, Now: cfg.Now}
	o.KeepBytes = max(0, cmp.Or(cfg.Audit.KeepBytes, auditBytes)) // 0 is no limit there
	files, err := audit.Open(filepath.Join(cfg.Data, "audit"), o)
	if err != nil {
		return nil, err
	}
	a := &auditor{id: cfg.ID, log: cfg.Log, files: files, refused: map[refusal]int{}}
	a.tell()
	return a, nil
}

// tell logs what was found wrong in the files.
func (a *auditor) tell() {
	for _, n := range a.files.Notes() {
		a.log.Warn(n)
	}
}

// write adds entries of an applied command. Until a snapshot covers them they can be derived from
// Raft's log again, so nothing waits for the disk here.
func (a *auditor) write(entries []audit.Entry) {
	if len(entries) == 0 {
		return
	}

	var err error
	for _, e := range entries {
		if err = a.files.Append(e); err != nil {
			break
		}
	}
	a.tell()

	// Changes are logged, not states: there may be many entries a second.
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && !a.failed {
		a.log.Error("the audit log waits for its disk; Raft's log is kept until it is written",
			"error", err)
	}
	a.failed = err != nil
}

// restart goes on behind a snapshot, once what is there is on the disk for good.
func (a *auditor) restart(m *core.Machine) {
	if err := a.files.Sync(); err != nil {
		a.log.Error("cannot write the audit log", "error", err)
	}
	a.files.Restart(m.AuditHead(), m.AuditRecent())
	a.tell()
}

// refuse counts a refusal. What differs with every request is left out, the port and the request's
// id: otherwise nothing would be counted together.
func (a *auditor) refuse(r refusal, n int) {
	r.actor.Addr = site(r.actor.Addr)
	r.actor.Request = ""
	a.mu.Lock()
	defer a.mu.Unlock()

	if _, known := a.refused[r]; !known && len(a.refused) >= refusedMax {
		r = refusal{action: "others", reason: "too many different refusals at once", coordinator: a.id}
	}
	a.refused[r] += n
}

// site is an address without its port. Of IPv6 it is the network, as a host there has as many
// addresses as it likes.
func site(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil || !ip.Is6() || ip.Is4In6() {
		return addr
	}
	const network = 64                      // bits
	p, _ := ip.WithZone("").Prefix(network) //nolint:errcheck // an IPv6 address has as many
	return p.String()
}

// take returns what was refused since the last call, in an order of its own.
func (a *auditor) take() map[refusal]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.refused) == 0 {
		return nil
	}
	out := a.refused
	a.refused = map[refusal]int{}
	return out
}

// giveBack counts again what could not be told.
func (a *auditor) giveBack(all map[refusal]int) {
	for r, n := range all {
		a.refuse(r, n)
	}
}

// noteRefused commits what was refused, on the leader; in the loop.
func (c *Coordinator) noteRefused(now time.Time) {
	passed := now.Sub(c.audit.noted)
	if passed < refusedEvery {
		return
	}
	c.audit.noted = now
	c.audit.spent = max(0, c.audit.spent-passed)

	// As many entries as there is room for; what is more is counted on.
	room := int((refusedMax*refusedSpan - c.audit.spent) / refusedSpan)
	if room == 0 {
		return
	}
	all := c.audit.take()
	if all == nil {
		return
	}

	// The order of a map is none: equal refusals give equal commands, which tests rely on.
	kinds := slices.SortedFunc(maps.Keys(all), func(a, b refusal) int {
		return strings.Compare(a.key(), b.key())
	})
	var events []core.Event
	for i, r := range kinds {
		if i >= room {
			c.audit.refuse(r, all[r])
			continue
		}
		events = append(events, core.Event{Actor: r.actor, Action: r.action, Outcome: audit.Refused,
			Reason: r.reason, Details: map[string]string{"count": strconv.Itoa(all[r]),
				"coordinator": r.coordinator}})
	}

	// What cannot be committed now is counted on, here or for the next leader.
	if err := c.core.Note(events...); err != nil {
		c.log.Warn("cannot write down what was refused", "error", err)
		for _, r := range kinds[:len(events)] {
			c.audit.refuse(r, all[r])
		}
		return
	}
	c.audit.spent += time.Duration(len(events)) * refusedSpan
}

// key is what refusals are sorted by.
func (r refusal) key() string {
	a := r.actor
	return strings.Join([]string{r.action, r.reason, a.Owner, a.Name, a.Addr, r.coordinator}, "\x00")
}

// hearRefused counts what another coordinator has refused.
func (a *auditor) hearRefused(d wire.Disk) {
	for _, r := range d.Refused {
		a.refuse(refusal{core.Actor{Owner: r.Owner, Name: r.Name, Addr: r.Addr}, r.Action, r.Reason,
			d.ID}, r.Count)
	}
}

// toldRefused is what a follower tells the leader of its refusals; nil: nothing.
func toldRefused(all map[refusal]int) (out []wire.Refusal) {
	for r := range maps.Keys(all) {
		out = append(out, wire.Refusal{Owner: r.actor.Owner, Name: r.actor.Name, Addr: r.actor.Addr,
			Action: r.action, Reason: r.reason, Count: min(all[r], countMost)})
	}
	return out
}

// event is something that a client has asked for, for the audit log. A nil error is a success.
func event(ctx context.Context, action, object string, err error) core.Event {
	e := core.Event{Actor: actor(ctx), Action: action, Object: object, Outcome: audit.OK}
	if err != nil {
		e.Outcome, e.Reason = audit.Refused, err.Error()
	}
	return e
}

// note is for what has no command of its own: it lets whoever called wait until it is written down,
// whether the client still waits or not.
//
// It commits an event to the audit log, and waits until it is.
func (c *Coordinator) note(ctx context.Context, e core.Event) error {
	return doErr(context.WithoutCancel(ctx), c, func() error { return c.core.Note(e) })
}

// noteFailed writes down that something was refused that the leader has decided itself, and returns
// why it was. Whoever asks another coordinator is only sent on.
func (c *Coordinator) noteFailed(ctx context.Context, action, object string, why error) error {
	if c.leading() == nil {
		if err := c.note(ctx, event(ctx, action, object, why)); err != nil {
			c.log.Warn("cannot write down a refusal", "action", action, "error", err)
		}
	}
	return why
}

// Refused implements Service.
func (c *Coordinator) Refused(ctx context.Context, action, reason string) {
	c.audit.refuse(refusal{actor(ctx), action, reason, c.cfg.ID}, 1)
}

// Audit implements Service.
func (c *Coordinator) Audit(ctx context.Context, q audit.Query, f func(line []byte) error) error {
	return c.audit.files.Read(q, func(line []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return f(line)
	})
}

// AuditStatus implements Service. Both are looked at in the loop, which writes the files: they
// belong to the same moment.
func (c *Coordinator) AuditStatus(context.Context) (schema.AuditStatus, error) {
	return look(c, func() (schema.AuditStatus, error) {
		return schema.AuditStatus{Coordinator: c.cfg.ID, Head: c.core.Machine().AuditHead(),
			Files: c.audit.files.State()}, nil
	})
}
