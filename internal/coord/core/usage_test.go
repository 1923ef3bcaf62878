package core

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/wire"
)

// used is device time of a rank.
func used(d time.Duration) job.Usage { return job.Usage{Time: d, Sent: 10, Operations: 1e6} }

// meters is a leader with nodes a and b, one of which has said that it computes for the whole time.
func meters(t *testing.T, edit ...func(*Config)) *fakeWorld {
	w := leads(t, edit...)
	for _, id := range []job.NodeID{"a", "b"} {
		say[wire.Welcome](w, wire.Registration{Node: id, Name: "n", Threads: 1, Model: demo(),
			Device: "dev", Route: "nats-route://" + string(id) + ":1"})
	}
	return w
}

// hear sends a heartbeat of a node whose rank has used so much, and that has ranks to settle.
func (w *fakeWorld) hear(s *wire.StartOrder, id job.NodeID, u job.Usage,
	ended ...wire.Ended) wire.Pulse {
	w.t.Helper()
	h := wire.Heartbeat{Node: id, State: wire.Idle, Ended: ended}
	if s != nil {
		h.State, h.Usage = wire.Busy, u
		h.Work = wire.Work{Job: s.Plan.Job, Attempt: s.Plan.Attempt, Rank: s.Rank}
	}
	return say[wire.Pulse](w, h)
}

// over is the last word of a rank.
func over(s wire.StartOrder, d time.Duration) wire.Ended {
	return wire.Ended{Work: wire.Work{Job: s.Plan.Job, Attempt: s.Plan.Attempt, Rank: s.Rank},
		Usage: used(d)}
}

// finish has rank 0 say that the clip is made.
func (w *fakeWorld) finish(s wire.StartOrder, d time.Duration) {
	w.t.Helper()
	res := job.Result{Video: object("v"), Latents: object("l"), ContentType: "video/webm"}
	w.stored = append(w.stored, "v", "l")
	e := over(s, d)
	say[wire.Ack](w, wire.Completion{Node: s.Plan.Nodes[0], Work: e.Work, Usage: e.Usage, Result: res})
	w.answer()
	if r := w.record(s.Plan.Job); r.State != job.Completed {
		w.t.Fatalf("the job is %s", r.State)
	}
}

// sum returns the device time of all rows, charged or not.
func sum(k *Core) (charged, failed, lost time.Duration) {
	for _, r := range k.Usage("", "") {
		charged, failed, lost = charged+r.Charged, failed+r.Failed, lost+r.Lost
	}
	return charged, failed, lost
}

// TestCompletedJobsAreCharged completes a job on two nodes: rank 1 ends before, in part unheard.
func TestCompletedJobsAreCharged(t *testing.T) {
	w := meters(t)
	id := w.create(2)
	starts := w.take()
	first, second := starts[0], starts[1]
	w.hear(&first, first.Plan.Nodes[0], used(2*time.Second))
	w.hear(&second, second.Plan.Nodes[1], used(3*time.Second))
	if v, err := w.k.View(id); err != nil || v.Live.Total.Time != 5*time.Second {
		t.Errorf("live %+v; want 5s: %v", v.Live, err)
	}
	w.finish(first, 4*time.Second)
	if got := w.record(id).Usage; got.Charged() != 7*time.Second || got.Total.Sent != 20 {
		t.Errorf("charged %v; want 7s, as was said by then: %+v", got.Charged(), got)
	}

	// What rank 1 says now is settled once, and acknowledged again.
	e := over(second, 3500*time.Millisecond)
	for range 2 {
		p := w.hear(nil, second.Plan.Nodes[1], job.Usage{}, e, over(first, 4*time.Second))
		if len(p.Settled) != 1 && len(p.Settled) != 2 {
			t.Errorf("settled: %+v", p.Settled)
		}
	}
	r := w.record(id)
	if r.Usage.Charged() != 7*time.Second || r.Usage.Uncharged() != 500*time.Millisecond {
		t.Errorf("charged %v, uncharged %v", r.Usage.Charged(), r.Usage.Uncharged())
	}
	charged, _, lost := sum(w.k)
	open := len(w.k.machine.state.usage.ended)
	if charged != 7*time.Second || lost != 500*time.Millisecond || open > 0 {
		t.Errorf("rows: %v charged, %v lost", charged, lost)
	}
}

// TestLostAttemptsAreChargedToNobody loses an attempt, changes the leader, and cancels the next.
func TestLostAttemptsAreChargedToNobody(t *testing.T) {
	w := meters(t)
	id := w.create(1)
	s := w.take()[0]
	node := s.Plan.Nodes[0]
	w.hear(&s, node, used(time.Second))
	say[wire.Ack](w, wire.Failure{Node: node, Work: over(s, 0).Work, Peer: -1, Reason: "no"})
	if r := w.record(id); r.Usage.Uncharged() != time.Second || r.Usage.Charged() != 0 {
		t.Fatalf("%+v", r.Usage)
	}

	// Another leader hears the rank's last word, and has it recorded.
	w.k.Resign()
	w.k.Lead()
	say[wire.Welcome](w, wire.Registration{Node: node, Name: "n", Threads: 1, Model: demo(),
		Device: "dev", Route: "nats-route://a:1"})
	w.hear(nil, node, job.Usage{}, over(s, 1200*time.Millisecond))
	if r := w.record(id); r.Usage.Uncharged() != 1200*time.Millisecond {
		t.Fatalf("%+v", r.Usage)
	}

	w.pass(time.Minute)
	next := w.take()[0]
	at := next.Plan.Nodes[0]
	w.hear(&next, at, used(time.Second))
	if err := w.k.Cancel(id); err != nil {
		t.Fatal(err)
	}
	say[wire.Ack](w, wire.Failure{Node: at, Work: over(next, 0).Work, Peer: -1, Cancelled: true,
		Usage: used(1500 * time.Millisecond), Reason: "cancelled"})
	r := w.record(id)
	if r.State != job.Cancelled || r.Usage.Charged() != 1500*time.Millisecond {
		t.Errorf("the job is %s, charged %v; want what it had when it stopped", r.State,
			r.Usage.Charged())
	}
}

// TestFailedJobsAreNotCharged: their time is kept apart.
func TestFailedJobsAreNotCharged(t *testing.T) {
	w := meters(t)
	w.create(1)
	s := w.take()[0]
	say[wire.Ack](w, wire.Failure{Node: s.Plan.Nodes[0], Work: over(s, 0).Work, Peer: -1, Final: true,
		Usage: used(time.Second), Reason: "NaN"})
	charged, failed, lost := sum(w.k)
	if charged != 0 || failed != time.Second || lost != 0 {
		t.Errorf("%v charged, %v failed, %v lost", charged, failed, lost)
	}
}

// TestNothingIsMeteredAtVersion8: older coordinators would not know what it is.
func TestNothingIsMeteredAtVersion8(t *testing.T) {
	w := &fakeWorld{t: t, speaks: VersionFirst}
	w.k = New(Config{ID: "c1"}, w, Unobserved{})
	w.k.machine.state.models = job.Models{demo()}
	w.k.Lead()
	w.tick()
	w.answer()
	w.join("a")
	id := w.create(1)
	s := w.take()[0]
	w.finish(s, time.Second)
	if p := w.hear(nil, "a", job.Usage{}, over(s, time.Second)); len(p.Settled) != 1 {
		t.Errorf("settled: %+v", p.Settled)
	}
	if r := w.record(id); r.Usage.Total.Time != 0 || bytes.Contains(snapshotOf(t, w.k.machine),
		[]byte("usage")) {
		t.Errorf("%+v", r.Usage)
	}
}

// TestBillsOfPlans completes jobs of a key that has 10 s a month.
func TestBillsOfPlans(t *testing.T) {
	rate, err := price.ParseDecimal("0.5")
	if err != nil {
		t.Fatal(err)
	}
	sheet := &price.Sheet{Currency: "EUR", Hash: "h",
		Devices: []price.DevicePrice{{Match: "dev", PerSecond: rate}},
		Plans:   []price.Plan{{Name: "p", Included: 10 * time.Second, Keys: []string{"key_a"}}}}
	w := meters(t, func(c *Config) { c.Pricing = sheet })

	make := func(d time.Duration) *price.Bill {
		var id job.ID
		w.k.Create(job.Request{Prompt: "x", Owner: "key_a", Shards: 1},
			func(r job.Record, err error) { id = r.ID })
		w.k.Settle()
		s := w.take()[0]
		w.finish(s, d)
		w.hear(nil, s.Plan.Nodes[0], job.Usage{}, over(s, d))
		return w.record(id).Bill
	}
	for i, want := range []string{"0.00", "1.00", "3.00"} {
		if b := make(6 * time.Second); b == nil || b.Amount.String() != want || b.Check() != nil {
			t.Errorf("job %d: %+v; want %s", i, b, want)
		}
	}
	// Another month has its own.
	w.today = w.today.AddDate(0, 1, 0)
	if b := make(6 * time.Second); b.Amount != 0 || b.Included() != 6*time.Second {
		t.Errorf("next month: %+v", b)
	}
	amount := price.Micro(0)
	for _, r := range w.k.Usage("", "") {
		amount += r.Amount
	}
	if amount.String() != "4.00" {
		t.Errorf("rows come to %v", amount)
	}

	// Snapshots have it all.
	before := snapshotOf(t, w.k.machine)
	again, err := ReadSnapshot(bytes.NewReader(before))
	if err != nil || !bytes.Equal(snapshotOf(t, again), before) {
		t.Errorf("a snapshot is another one when it was read: %v", err)
	}
}

// TestOldDaysAreOneRow fills more days than are kept.
func TestOldDaysAreOneRow(t *testing.T) {
	u := newUsageState()
	day := time.Unix(1_700_000_000, 0)
	const n = usageDays + 30
	for i := range n {
		u.add(day.AddDate(0, 0, i), UsageKey{Owner: fmt.Sprint(i % 3), Currency: "EUR"},
			UsageRow{UsageKey: UsageKey{Device: "dev"}, Charged: time.Second, Jobs: 1, Amount: 5})
	}
	rows := u.all("", "")
	if len(u.days) != usageDays || u.rows != len(rows) {
		t.Errorf("%d days, %d rows, %d counted", len(u.days), len(rows), u.rows)
	}
	first, all := rows[0], UsageRow{}
	for _, r := range rows {
		all = all.Add(r)
	}
	if first.Day != "" || first.Owner != "" || all.Jobs != n || all.Amount != 5*n {
		t.Errorf("first %+v, all %+v", first, all)
	}
	if got := u.all("2023-11-14", ""); len(got) != len(rows)-1 {
		t.Errorf("%d rows from a day on", len(got))
	}
}

// TestADayHasItsRows: what one day has beyond the rows that are kept is one row, so that a snapshot
// of it can be read again.
func TestADayHasItsRows(t *testing.T) {
	u, day := newUsageState(), time.Unix(1_700_000_000, 0)
	u.rows = usageRows - 1
	for i := range 9 {
		u.add(day, UsageKey{Owner: fmt.Sprint(i), Currency: "EUR"}, UsageRow{Charged: time.Second})
	}
	rows := u.all("", "")
	if len(rows) != 2 || rows[0].Owner != "" || rows[0].Charged != 8*time.Second ||
		u.rows != usageRows+1 {
		t.Errorf("%d rows are counted, of them %+v", u.rows, rows)
	}
	far := time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600))
	if d := dateOf(far); (UsageKey{Day: d}).check() != nil {
		t.Errorf("day %s", d)
	}
}
