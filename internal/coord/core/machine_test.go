package core

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/rollout"
)

func snapshotOf(t interface{ Fatal(...any) }, m *Machine) []byte {
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var jobIDs = []job.ID{"a", "b", "c", "d"}

// drawCommand makes a command that has some chance to be accepted.
func drawCommand(t *rapid.T, s *state) command {
	id := rapid.SampledFrom(jobIDs).Draw(t, "job")
	c := command{Job: id, Attempt: job.Attempt(rapid.IntRange(0, 2).Draw(t, "attempt")),
		Now: time.Unix(int64(rapid.IntRange(0, 1e6).Draw(t, "now")), 0).UTC(), Reason: "why"}
	kinds := []kind{kindCreate, kindPlace, kindComplete, kindFail, kindCancel, kindCancelled,
		kindDelete, kindModel, kindSwept, kindKeep, kindLease}
	c.Kind = rapid.SampledFrom(kinds).Draw(t, "kind")
	if rapid.IntRange(0, 9).Draw(t, "spoil") == 0 {
		return c // without the part that its kind needs
	}
	switch c.Kind {
	case kindCreate:
		c.Create = &creation{Key: rapid.SampledFrom([]string{"", "k"}).Draw(t, "key"), QueuedMax: 2,
			KeptMax: 3, Spec: spec()}
		c.Create.Spec.Seed = rapid.Uint64Range(0, 1).Draw(t, "seed")
		c.Create.Owner = rapid.SampledFrom([]string{"", "o"}).Draw(t, "owner")
		c.Create.Team = rapid.SampledFrom([]string{"", "t"}).Draw(t, "team")
		if rapid.Bool().Draw(t, "start") {
			c.Create.Spec.Inputs = []job.Input{{Role: job.RoleStart, Kind: job.KindImage,
				Object: object("in"), Latents: 1}}
		}
	case kindPlace:
		r := cmp.Or(s.jobs[id], &noJob) // of a job that there is not
		c.Plan = &job.Plan{Job: id, Attempt: r.Attempt + 1, Spec: r.Spec,
			Mesh: job.Mesh{CFG: 1, Ulysses: 1}, Nodes: []job.NodeID{"n"}}
		c.Charge = &charge{Cost: time.Duration(rapid.Int64().Draw(t, "cost")),
			Weight: rapid.Int64Range(-1, 2000).Draw(t, "weight")}
	case kindComplete:
		c.Result = &job.Result{Video: object("o" + string(id)), Latents: object("l" + string(id)),
			ContentType: "video/webm",
			Seconds:     map[job.Stage]float64{job.StageText: 1, job.StageDecode: 2}}
	case kindKeep:
		name := rapid.SampledFrom([]string{"text.0", "latents"}).Draw(t, "part")
		c.Part = &part{name, object(name)}
	case kindModel:
		m := demo()
		m.Fingerprint = rapid.SampledFrom([]string{"f1", "f2"}).Draw(t, "fingerprint")
		c.Model = &m
	case kindLease:
		c.Lease = &lease{object(rapid.SampledFrom([]string{"in", "oa"}).Draw(t, "input")), c.Now}
	case kindSwept:
		c.Swept, c.Spared = []string{"oa", "ob"}, []string{"oc"}
	}
	return c
}

// TestSameLogSameSnapshot applies random logs to three machines, one of which is restored from a
// snapshot half-way: all end with the same bytes, and indexes agree with the jobs.
func TestSameLogSameSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, late := machine(), machine(), machine()
		n := rapid.IntRange(1, 40).Draw(t, "n")
		for i := range n {
			data, err := drawCommand(t, a.state).encode()
			if err != nil {
				t.Fatal(err)
			}
			if x, y := textOf(a.Apply(1, data)), textOf(b.Apply(1, data)); x != y {
				t.Fatalf("%s and %s", x, y)
			}
			if i < n/2 {
				continue
			}
			if i == n/2 {
				if late, err = ReadSnapshot(bytes.NewReader(snapshotOf(t, a))); err != nil {
					t.Fatal(err)
				}
				continue
			}
			late.Apply(1, data) //nolint:errcheck // as the others
		}
		checkState(t, a.state)
		want := snapshotOf(t, a)
		if !bytes.Equal(want, snapshotOf(t, b)) || !bytes.Equal(want, snapshotOf(t, late)) {
			t.Fatal("equal logs gave different snapshots")
		}
	})
}

// machine is one that knows a model.
func machine() *Machine {
	f := NewMachine()
	f.state.models = job.Models{demo()}
	return f
}

func textOf(r job.Record, err error) string { return fmt.Sprintf("%+v, %v", r, err) }

func checkState(t *rapid.T, s *state) {
	if len(s.order) != len(s.jobs) {
		t.Fatalf("%d jobs, %d in order", len(s.jobs), len(s.order))
	}
	queued := 0
	for id, r := range s.jobs {
		if r.ID != id || !slices.Contains(s.order, id) ||
			r.Key != "" && s.keys[requestKey(r.Owner, r.Key)] != id {
			t.Fatalf("job %s is %+v", id, r)
		}
		if r.State == job.Queued {
			queued++
		}
	}
	if queued > 2 {
		t.Fatalf("%d jobs wait", queued)
	}
	for k, id := range s.keys {
		if r := s.jobs[id]; requestKey(r.Owner, r.Key) != k {
			t.Fatalf("key %s points to %+v", k, s.jobs[id])
		}
	}
}

// FuzzApply applies any bytes, as they are and with a checksum: whatever they are, the state is one
// that a snapshot brings back, and what cannot be read stops the machine.
func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"v":1,"kind":"create","job":"a","create":{"queued_max":1,"kept_max":1}}`))
	f.Add([]byte(`{"v":1,"kind":"place","job":"a","plan":{"job":"a","attempt":1,"nodes":["n"]}}`))
	f.Add([]byte(`{"v":6,"kind":"member","member":{"id":"c9","http_address":"http://x"}}`))
	for _, seed := range []string{
		`{"v":9,"kind":"place","job":"a","took_ns":1,"plan":{"job":"a","attempt":1,"nodes":["n"]},` +
			`"charge":{"cost_ns":1,"weight":1}}`,
		`{"v":9,"kind":"fail","job":"a","attempt":1,"meter":{"ranks":[{"node":"n","device":"d",` +
			`"usage":{"device_ns":1}}],"bill":{"amount":"1","currency":"EUR","sheet":""}}}`,
		`{"v":9,"kind":"settle","settle":[{"job":"a","attempt":1,"rank":0,"node":"n","final":true}]}`,
		`{"v":9,"kind":"access","by":{"owner":"o"},"access":{"verb":"key.used","used":{"key_a":` +
			`"2026-01-31T12:00:00Z"}}}`,
		`{"v":9,"kind":"access","access":{"verb":"team.set","team":{"name":"t","quota":{"queued":1}}}}`,
		`{"v":9,"kind":"rollout","rollout":{"rule":{"name":"lora","percent":10,"keys":["k"]}}}`,
		`{"v":9,"kind":"authority","authority":{"cluster":"c","found":{"cert":"-----BEGIN ",` +
			`"since":"2026-01-31T12:00:00Z"}}}`,
		`{"v":9,"kind":"audit","audit":{"events":[{"action":"a","outcome":"ok"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := machine()
		create, err := command{Kind: kindCreate, Job: "a",
			Create: &creation{QueuedMax: 9, KeptMax: 9, Spec: spec()}}.encode()
		if err != nil {
			t.Fatal(err)
		}
		begin, err := command{Kind: kindAuditBegin,
			Audit: &auditing{Secret: strings.Repeat("a", 64)}}.encode()
		if err != nil {
			t.Fatal(err)
		}
		m.Apply(1, begin)      //nolint:errcheck // no panic
		m.Apply(1, create)     //nolint:errcheck // no panic
		m.Apply(1, Seal(data)) //nolint:errcheck // no panic
		place, err := busy()[1].encode()
		if err != nil {
			t.Fatal(err)
		}
		m.Apply(1, place)      //nolint:errcheck // no panic
		m.Apply(1, Seal(data)) //nolint:errcheck // no panic
		before := m.stopped
		m.Apply(1, data) //nolint:errcheck // no panic
		if _, err := decodeCommand(data, commandVersion); err != nil && m.stopped == nil || before != nil &&
			m.stopped != before {
			t.Fatalf("%v, %v", err, m.stopped)
		}
		m.stopped = nil
		snap := snapshotOf(t, m)
		again, err := ReadSnapshot(bytes.NewReader(snap))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(snap, snapshotOf(t, again)) {
			t.Fatal("a restored snapshot differs")
		}
	})
}

// FuzzRestore restores any bytes: what is taken is a state that works, what is not changes nothing.
func FuzzRestore(f *testing.F) {
	m := machine()
	for _, c := range busy() {
		if _, err := m.state.apply(c); err != nil {
			f.Fatal(err)
		}
	}
	m.state.version, m.state.authority = 9, &Authority{Cluster: "c", CAs: []CA{{Cert: "-----BEGIN "}}}
	m.state.rollouts["lora"] = rollout.Rule{Name: "lora", Percent: 10, Deny: []string{"k"}}
	m.state.usage.add(time.Unix(1e9, 0), UsageKey{Owner: "o", Currency: "EUR"}, UsageRow{Jobs: 1})
	if err := m.state.access.putKey(testKey("a"), time.Unix(1e9, 0)); err != nil {
		f.Fatal(err)
	}
	f.Add(snapshotOf(f, m))
	f.Add([]byte(`{"v":1,"model":{},"jobs":[{"id":"a","state":"running"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadSnapshot(bytes.NewReader(data))
		if err != nil {
			if m != nil || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v", err)
			}
			return
		}
		snap := snapshotOf(t, m)
		again, err := ReadSnapshot(bytes.NewReader(snap))
		if err != nil || !bytes.Equal(snap, snapshotOf(t, again)) {
			t.Fatalf("it is accepted once only: %v", err)
		}
		for _, r := range m.Records(nil) {
			used := []rankUsage{{Node: "n", Usage: job.Usage{Time: 1}}}
			for _, c := range []command{{Kind: kindCancel}, {Kind: kindFail, Attempt: r.Attempt,
				Version: 9, Took: 1, Meter: &metering{Ranks: used}}} {
				c.Job = r.ID
				m.state.apply(c) //nolint:errcheck // no panic
			}
		}
		if _, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, m))); err != nil {
			t.Fatalf("what it leads to is not accepted: %v", err)
		}
	})
}

// busy leads to one job that runs, with a part and a checkpoint.
func busy() []command {
	return []command{
		{Kind: kindCreate, Job: "a", Create: &creation{Key: "k", QueuedMax: 1, KeptMax: 1, Spec: spec()}},
		{Kind: kindPlace, Job: "a", Plan: &job.Plan{Job: "a", Attempt: 1, Spec: spec(),
			Mesh: job.Mesh{CFG: 1, Ulysses: 1}, Nodes: []job.NodeID{"n"}},
			Version: commandVersion, Charge: &charge{Cost: 1e9, Weight: 1000}},
		{Kind: kindKeep, Job: "a", Attempt: 1, Part: &part{"text.0", object("text")}},
		{Kind: kindSave, Job: "a", Attempt: 1, Checkpoint: &job.Checkpoint{Step: 1, Object: object("c")}},
		{Kind: kindDrain, Drain: &Drain{Node: "n"}},
		{Kind: kindMember, Member: &Peer{ID: "c2", HTTP: "http://c2"}},
		{Kind: kindLease, Lease: &lease{object("in"), time.Unix(1, 0)}},
	}
}

// TestPartsAreCollectedWithTheJob keeps two parts, one of which becomes the result.
func TestPartsAreCollectedWithTheJob(t *testing.T) {
	s := machine().state
	result := &job.Result{Video: object("video"), Latents: object("latents"),
		ContentType: "video/webm"}
	for _, c := range append(busy()[:3],
		command{Kind: kindKeep, Job: "a", Attempt: 1, Part: &part{"latents", object("latents")}}) {
		if _, err := s.apply(c); err != nil {
			t.Fatal(err)
		}
	}
	s.trash = []trash{{Object: object("latents")}, {Object: object("text")}, {Object: object("old")}}
	spare, gone := (&Machine{state: s}).sweepable(nil)
	if !slices.Equal(spare, []string{"latents", "text"}) || len(gone) != 0 {
		t.Fatalf("beside a running job %v are spared, %v are gone", spare, gone)
	}
	s.trash = nil
	if _, err := s.apply(command{Kind: kindComplete, Job: "a", Attempt: 1, Result: result}); err != nil {
		t.Fatal(err)
	}
	if len(s.trash) != 1 || s.trash[0].Object.Name != "text" || s.trash[0].Own {
		t.Errorf("trash %+v; want the text", s.trash)
	}
}

// TestWhatAJobStartsFromStays wants an input to stay until its lease is over, or no job starts from
// it any more, across snapshots.
func TestWhatAJobStartsFromStays(t *testing.T) {
	f := machine()
	in, now := object("in"), time.Unix(1000, 0).UTC()
	apply := func(c command) error {
		c.Now = now
		_, err := f.state.apply(c)
		return err
	}
	must := func(c command) {
		t.Helper()
		if err := apply(c); err != nil {
			t.Fatal(err)
		}
		again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, f)))
		if err != nil {
			t.Fatal(err)
		}
		f = again
	}
	want := func(at time.Time, spared, deleted []string) {
		t.Helper()
		lapsed := map[string]bool{}
		for _, t := range f.leases() {
			lapsed[t.Object.Name] = !t.Until.After(at)
		}
		spare, gone := f.sweepable(lapsed)
		var names []string
		for _, o := range gone {
			names = append(names, o.Name)
		}
		if !slices.Equal(spare, spared) || !slices.Equal(names, deleted) {
			t.Fatalf("%v are spared, %v are gone; want %v and %v", spare, names, spared, deleted)
		}
	}
	from := func(id job.ID) command {
		s := spec()
		s.Inputs = []job.Input{{Role: job.RoleStart, Kind: job.KindImage, Object: in, Latents: 1}}
		return command{Kind: kindCreate, Job: id, Create: &creation{QueuedMax: 2, KeptMax: 3, Spec: s}}
	}
	if err := apply(from("a")); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a start that nobody knows: %v", err)
	}
	must(command{Kind: kindLease, Lease: &lease{in, now.Add(time.Minute)}})
	want(now, nil, nil)
	want(now.Add(time.Hour), nil, []string{"in"})
	must(from("a"))
	want(now.Add(time.Hour), []string{"in"}, nil)
	must(command{Kind: kindSwept, Spared: []string{"in"}})
	want(now.Add(time.Hour), nil, nil)
	must(from("b"))
	for _, id := range []job.ID{"a", "b"} {
		must(command{Kind: kindCancel, Job: id})
		must(command{Kind: kindDelete, Job: id})
		if id == "a" {
			want(now, []string{"in"}, nil)
		}
	}
	want(now, nil, []string{"in", "in"})
	must(command{Kind: kindSwept, Spared: []string{"in"}}) // decided before b was deleted
	want(now, nil, []string{"in", "in"})
	must(command{Kind: kindLease, Lease: &lease{in, now.Add(time.Minute)}})
	want(now, nil, nil)
}

func TestInputsAreBounded(t *testing.T) {
	s := newState()
	for i := range leasesKept + 1 {
		_, err := s.apply(command{Kind: kindLease,
			Lease: &lease{object(fmt.Sprint(i)), time.Unix(1, 0)}})
		if full := i == leasesKept; errors.Is(err, ErrQueueFull) != full {
			t.Fatalf("input %d: %v", i, err)
		}
	}
}

func TestOldFinalJobsMakeRoom(t *testing.T) {
	s := machine().state
	add := func(id job.ID) error {
		_, err := s.apply(command{Kind: kindCreate, Job: id, Create: &creation{QueuedMax: 2, KeptMax: 3,
			Spec: spec()}})
		return err
	}
	for _, id := range []job.ID{"a", "b"} {
		if err := add(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := add("c"); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("a third waiting job: %v", err)
	}
	for _, id := range []job.ID{"c", "d", "e"} {
		last := s.order[len(s.order)-1]
		if _, err := s.apply(command{Kind: kindCancel, Job: last}); err != nil {
			t.Fatal(err)
		}
		if err := add(id); err != nil {
			t.Fatal(err)
		}
	}
	if want := []job.ID{"a", "d", "e"}; !slices.Equal(s.order, want) {
		t.Fatalf("kept %v, want %v", s.order, want)
	}
}
