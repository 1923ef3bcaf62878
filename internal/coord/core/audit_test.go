package core

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/job"
)

// keepsAudit collects the entries that a core makes, and holds them to be a chain.
func keepsAudit(w *fakeWorld) *[]audit.Entry {
	var all []audit.Entry
	var v audit.Verifier
	w.applied = func([]byte) {
		for _, e := range w.k.Machine().Audited() {
			if _, err := v.Next(e.Line()); err != nil {
				w.t.Errorf("entry %+v: %v", e, err)
			}
			all = append(all, e)
		}
		if v.Entries > 0 && v.Head() != w.k.Machine().AuditHead() {
			w.t.Errorf("the head is %v, the last entry %v", w.k.Machine().AuditHead(), v.Head())
		}
	}
	return &all
}

var ann = Actor{Owner: "key_a", Name: "ann", Addr: "10.0.0.1:5", Request: "req_1"}

// TestEntriesOfCommands has clients do everything that commands say, and wants an entry of each.
func TestEntriesOfCommands(t *testing.T) {
	w := leads(t, func(c *Config) { c.Prompts = PromptsKeep })
	all := keepsAudit(w)
	w.join("n1")
	var id job.ID
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	w.k.As(ann, func() {
		id = w.create(1)
		w.k.Create(job.Request{Prompt: "b", Key: "k"}, func(_ job.Record, err error) { ok(err) })
		w.k.Create(job.Request{Prompt: "b", Key: "k"}, func(_ job.Record, err error) { ok(err) })
		ok(w.k.Cancel(id))
		w.k.Delete(id) //nolint:errcheck // it runs still
		_, err := w.k.DrainNode("n1", time.Minute)
		ok(err)
		_, err = w.k.UndrainNode("n1")
		ok(err)
		ok(w.k.RecordMember(Peer{ID: "c2", Raft: "h:1", HTTP: "http://h:2"}))
		ok(w.k.RecordMember(Peer{ID: "c2"}))
	})
	ok(w.k.Note(Event{Actor: ann, Action: "snapshot.save", Outcome: audit.OK}))

	var got []string
	for _, e := range *all {
		got = append(got, e.Action+" "+e.Outcome)
		if e.Actor != audit.Actor(ann) {
			t.Errorf("%s is by %+v", e.Action, e.Actor)
		}
	}
	want := []string{"video.create ok", "video.create ok", "video.create ok", "video.cancel ok",
		"video.delete refused", "node.drain ok", "node.undrain ok", "member.add ok", "member.remove ok",
		"snapshot.save ok"}
	if !slices.Equal(got, want) {
		t.Fatalf("entries\n%q\nwant\n%q", got, want)
	}
	first, again, refused := (*all)[0], (*all)[2], (*all)[4]
	if d := first.Details; first.Object != string(id) || d["model"] != "demo" ||
		d["size"] != "96x64" || d["frames"] != "33" || d["seed"] == "" || d["prompt"] != "a ball" {
		t.Errorf("a create: %+v", first)
	}
	if again.Details["repeated"] != "true" || again.Object != (*all)[1].Object {
		t.Errorf("a repeated create: %+v", again)
	}
	if refused.Object != string(id) || !strings.Contains(refused.Reason, string(id)) {
		t.Errorf("a refusal: %+v", refused)
	}
}

// TestKindsAreAudited wants every kind of command to have an entry, or to be one that no client
// leads to by itself.
func TestKindsAreAudited(t *testing.T) {
	silent := []kind{kindPlace, kindComplete, kindFail, kindCancelled, kindModel, kindForget,
		kindSwept, kindSave, kindKeep, kindLose, kindCluster, kindVersion, kindAudit, kindAuditBegin, kindSettle,
		kindLease} // of a create, which says more
	for k := range kinds {
		if (audited[k] != nil) == slices.Contains(silent, k) {
			t.Errorf("kind %s is not audited, and not known to be the leader's own", k)
		}
		if describe := audited[k]; describe != nil { // whatever the command lacks
			c := command{Kind: k, Access: &accessChange{Verb: "key.create"}}
			if action, _, _ := describe(newState(), c, job.Record{}); action == "" {
				t.Errorf("kind %s has no action", k)
			}
		}
	}
}

func TestPrompts(t *testing.T) {
	f := func(how string, want func(secret []byte) string) {
		t.Helper()
		w := leads(t, func(c *Config) { c.Prompts = how })
		all := keepsAudit(w)
		w.k.As(ann, func() {
			w.k.Create(job.Request{Prompt: "a ball"}, func(job.Record, error) {})
		})
		w.join("n1")
		w.k.As(ann, func() { w.create(1) })
		secret, err := hex.DecodeString(w.k.Machine().state.audit.Secret)
		if err != nil || len(secret) != 32 {
			t.Fatalf("secret of %d bytes, %v", len(secret), err)
		}
		if got := (*all)[0].Details["prompt"]; got != want(secret) {
			t.Errorf("%q: the prompt is %q, want %q", how, got, want(secret))
		}
	}
	f(PromptsKeep, func([]byte) string { return "a ball" })
	f(PromptsOmit, func([]byte) string { return "" })
	f("", func(secret []byte) string {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte("a ball"))
		return fmt.Sprintf("hmac-sha256:%x", h.Sum(nil))
	})
}

// TestChainIsReplicated replays a log on another machine, from the start and from a snapshot, and
// wants the same chain.
func TestChainIsReplicated(t *testing.T) {
	w := leads(t)
	all := keepsAudit(w)
	var log [][]byte
	index, note := w.index, w.applied
	w.applied = func(b []byte) { log = append(log, b); note(b) }
	start := snapshotOf(t, w.k.machine)
	w.join("n1")
	w.k.As(ann, func() { w.create(1); w.create(1) })

	m, err := ReadSnapshot(bytes.NewReader(start))
	if err != nil || m.AuditHead().Seq != 1 {
		t.Fatalf("head %v, %v", m.AuditHead(), err)
	}
	var got []audit.Entry
	for _, b := range log {
		index++
		m.Apply(index, b) //nolint:errcheck // as it was on the other one
		got = append(got, m.Audited()...)
	}
	if m.AuditHead() != w.k.Machine().AuditHead() || len(got) != len(*all) ||
		!bytes.Equal(snapshotOf(t, m), snapshotOf(t, w.k.machine)) {
		t.Errorf("%d entries to %v, want %d to %v", len(got), m.AuditHead(), len(*all),
			w.k.Machine().AuditHead())
	}
}

// TestRestoredChainGoesOn restores an older snapshot: the chain does not go back with the rest.
func TestRestoredChainGoesOn(t *testing.T) {
	w := leads(t)
	w.join("n1")
	old := snapshotOf(t, w.k.machine)
	w.k.As(ann, func() { w.create(1) })
	before := w.k.machine.state.audit
	m, err := ReadSnapshot(bytes.NewReader(old))
	if err != nil {
		t.Fatal(err)
	}
	m.Succeed(w.k.machine)
	if m.state.audit.Head != before.Head || m.state.audit.Secret != before.Secret ||
		len(m.Records(nil)) != 0 {
		t.Errorf("the chain is at %v, want %v", m.state.audit, before)
	}
}

// TestSavedSnapshotsHaveNoSecret looks for it in what an operator is given.
func TestSavedSnapshotsHaveNoSecret(t *testing.T) {
	w := leads(t)
	s, err := w.k.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.WithoutSecrets().Write(&out); err != nil {
		t.Fatal(err)
	}
	secret := w.k.machine.state.audit.Secret
	if strings.Contains(out.String(), secret) || !strings.Contains(out.String(), `"seq":1`) {
		t.Errorf("saved: %s", out.String())
	}
	if !bytes.Contains(snapshotOf(t, w.k.machine), []byte(secret)) {
		t.Error("the coordinators' own snapshot lacks it")
	}
	if _, err := ReadSnapshot(&out); err != nil {
		t.Errorf("it cannot be read again: %v", err)
	}
}

// TestNoChainBeforeAllKnowIt wants nothing of it in a cluster with an older coordinator.
func TestNoChainBeforeAllKnowIt(t *testing.T) {
	w := &fakeWorld{t: t, speaks: VersionFirst}
	w.k = New(Config{ID: "c1"}, w, Unobserved{})
	w.k.machine.state.models = job.Models{demo()}
	w.k.Lead()
	w.k.As(ann, func() { w.create(0) })
	if err := w.k.Note(Event{Action: "x", Outcome: audit.OK}); err != nil {
		t.Error(err)
	}
	h := w.k.Machine().AuditHead()
	if h.Seq != 0 || bytes.Contains(snapshotOf(t, w.k.machine), []byte("audit")) {
		t.Errorf("the chain is at %v", h)
	}
	w.speaks = 0
	w.tick()
	w.k.As(ann, func() { w.create(0) })
	if h := w.k.Machine().AuditHead(); h.Seq != 2 {
		t.Errorf("after the upgrade it is at %v", h)
	}
}

// TestWrongAudit gives commands and snapshots what no leader writes.
func TestWrongAudit(t *testing.T) {
	w := leads(t)
	head := w.k.Machine().AuditHead()
	f := func(c command) {
		t.Helper()
		c.Version = commandVersion
		b, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(b); err == nil {
			t.Errorf("%+v is taken", c)
		}
		if w.k.Machine().AuditHead() != head {
			t.Errorf("%+v moves the chain", c)
		}
	}
	f(command{Kind: kindAudit})
	f(command{Kind: kindAudit, Audit: &auditing{Events: []Event{{}}}})
	f(command{Kind: kindAudit, Audit: &auditing{Events: make([]Event, EventsMax+1)}})
	f(command{Kind: kindAudit, Audit: &auditing{Events: []Event{{Action: strings.Repeat("x", 1025)}}}})
	f(command{Kind: kindAuditBegin, Audit: &auditing{Secret: "ab"}})
	f(command{Kind: kindAuditBegin, Audit: &auditing{Secret: strings.Repeat("z", 64)}})

	for _, a := range []auditState{{}, {Head: audit.Head{Seq: 1, Hash: "x"}},
		{Head: head, Secret: "abc"}, {Head: head, Secret: "abcd"},
		{Head: head, Recent: []audit.Entry{{Seq: 1}}}} {
		b, _ := json.Marshal(Snapshot{Version: commandVersion, Audit: &a})
		var field *job.FieldError
		if _, err := ReadSnapshot(bytes.NewReader(b)); !errors.As(err, &field) {
			t.Errorf("a snapshot with %+v: %v", a, err)
		}
	}
	text := strings.Repeat("x", 5000)
	long := Event{Action: text, Details: map[string]string{"a": text}, Outcome: audit.OK}
	if err := w.k.Note(slices.Repeat([]Event{long}, 2*EventsMax)...); err != nil {
		t.Error(err)
	}
	if n := w.k.Machine().AuditHead().Seq - head.Seq; n != EventsMax {
		t.Errorf("%d events were noted", n)
	}
}
