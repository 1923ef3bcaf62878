package sched

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
)

// drawShares makes limits of owners and teams, and a ledger that jobs of the view may be in.
func drawShares(t *rapid.T, v *View) {
	limit := func(label string) Limit {
		return Limit{Running: rapid.IntRange(0, 2).Draw(t, label),
			Weight: rapid.SampledFrom([]float64{0, 0.1, 5}).Draw(t, label),
			Spent:  rapid.SampledFrom([]string{"", "", "", "until tomorrow"}).Draw(t, label)}
	}
	v.Owners = map[string]Limit{"o": limit("o"), "p": limit("p")}
	v.Teams = map[string]Limit{"t": limit("t")}

	v.Ledger = NewLedger()
	for range rapid.IntRange(0, 4).Draw(t, "charges") {
		id := job.ID(rapid.SampledFrom([]string{"q0", "q1", "q2", "r0", "r1"}).Draw(t, "charged"))
		p := NewPayer(rapid.SampledFrom([]string{"", "o", "p"}).Draw(t, "payer"),
			rapid.SampledFrom([]string{"", "t"}).Draw(t, "its team"), 1, 1)
		v.Ledger.Place(id, p, rapid.IntRange(0, 2).Draw(t, "level"),
			time.Duration(rapid.IntRange(0, 100).Draw(t, "cost"))*time.Second)
	}
}

// TestNobodyRunsMoreThanAllowed holds the limits of running jobs and of spent quotas on any view.
func TestNobodyRunsMoreThanAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t)
		running := map[string]int{}
		for _, r := range v.Running {
			running["o "+r.Owner]++
			running["t "+r.Team]++
		}

		for _, d := range Decide(v) {
			if d.Action != Place {
				continue
			}
			for at, l := range map[string]Limit{"o " + d.Job.Owner: v.Owners[d.Job.Owner],
				"t " + d.Job.Team: v.Teams[d.Job.Team]} {
				if l.Spent != "" || l.Running > 0 && running[at] >= l.Running {
					t.Fatalf("%s: %s has %d that run, and %+v", told(d), at, running[at], l)
				}
				running[at]++
			}
			if d.Payer.Owner != d.Job.Owner || d.Payer.Team != d.Job.Team {
				t.Fatalf("%s is charged to %+v", told(d), d.Payer)
			}
		}
	})
}

// TestQuotasAreToldOf says of each job why it waits, or has to stop.
func TestQuotasAreToldOf(t *testing.T) {
	v := view("a", "b", "c")
	v.Owners = map[string]Limit{"key_1": {Name: "key render", Running: 1},
		"key_2": {Spent: "until 00:00 UTC: device-seconds of today are used (10 of 10)"}}
	v.Teams = map[string]Limit{"film": {Running: 1}}
	own := func(q *Queued, owner, team string) { q.Owner, q.Team = owner, team }
	own(v.queue("q1", 1), "key_1", "")
	own(v.queue("q2", 1), "key_1", "")
	own(v.queue("q3", 1), "key_2", "")
	own(v.queue("q4", 1), "key_3", "film")
	own(v.queue("q5", 1), "key_4", "film")
	v.run("r", "c").Owner = "key_2"

	const spent = "until 00:00 UTC: device-seconds of today are used (10 of 10)"
	expect(t, v, "q1: place cfg=1,ulysses=1 on a", "q3: wait, waits "+spent,
		"q4: place cfg=1,ulysses=1 on b", "q2: wait, waits: key render may run 1 job at a time",
		"q5: wait, waits: team film may run 1 job at a time", "r: yield spent, it waits "+spent)
}

// TestTurnsAreToldOf says who goes first, what was used, and how many are ahead.
func TestTurnsAreToldOf(t *testing.T) {
	v := view("a")
	v.Ledger = NewLedger()
	v.Ledger.Place("r", NewPayer("key_1", "film", 1, 2), 0, 80*time.Second)
	r := v.run("r", "a")
	r.Owner, r.Team, r.Taken = "key_1", "film", 90*time.Second // longer than predicted
	v.Teams = map[string]Limit{"film": {Weight: 2}}
	for i, owner := range []string{"key_1", "key_1", "key_2", "key_3"} {
		q := v.queue(job.ID(fmt.Sprint("q", i)), 1)
		if q.Owner, q.Cost = owner, time.Minute; i < 2 {
			q.Team = "film"
		}
	}

	expect(t, v, "q2: wait, waits for 1 shard, 0 are of 1 idle",
		"q3: wait, waits for its turn: 1 job of others first",
		"q0: wait, waits for its turn: 2 jobs of others first, as team film has used 90 "+
			"device-seconds more of its share",
		"q1: wait, waits for its turn: 2 jobs of others first, as team film has used 90 "+
			"device-seconds more of its share", "r: keep")
	for i, d := range Decide(v)[:4] {
		if d.Ahead != i {
			t.Errorf("%s: %d are ahead, want %d", told(d), d.Ahead, i)
		}
	}
}

// TestAJobThatHasBegunGoesOn: it had its turn, so an attempt that was lost, or moved, does not send
// it to the end of the line.
func TestAJobThatHasBegunGoesOn(t *testing.T) {
	v := view("a")
	v.Ledger = NewLedger()
	v.Ledger.Place("j", NewPayer("key_1", "", 1, 1), 0, time.Hour)
	v.queue("k", 1).Owner = "key_2"
	q := v.queue("j", 1)
	q.Owner, q.Attempt = "key_1", 1
	expect(t, v, "j: place cfg=1,ulysses=1 on a", "k: wait, waits for 1 shard, 0 are of 1 idle")
}

// TestLedgerCountsWhatJobsTook corrects predictions, and charges attempts that were lost to nobody.
func TestLedgerCountsWhatJobsTook(t *testing.T) {
	l := NewLedger()
	p := NewPayer("o", "t", 2, 4)
	ahead := func(owner, team time.Duration) {
		t.Helper()
		have := l.Levels[3]["team t"]
		if have == nil || have.Ahead != team.Microseconds() ||
			have.Owners["o"].Ahead != owner.Microseconds() {
			t.Fatalf("the ledger has %s, want %v and %v", encoded(t, l), owner, team)
		}
	}
	l.Place("j", p, 3, 80*time.Second)
	ahead(40*time.Second, 20*time.Second)

	l.Spend("j", 60*time.Second) // it moves, and needs another 60 s there
	l.Place("j", p, 3, 60*time.Second)
	ahead(60*time.Second, 30*time.Second)

	l.Place("k", NewPayer("x", "", 1, 0), 3, time.Second) // starts at 0, as j did
	ahead(60*time.Second, 30*time.Second)
	l.End("j", 20*time.Second) // 80 s in all
	ahead(40*time.Second, 20*time.Second)

	l.End("j", time.Hour) // a repeat
	l.End("k", 0)
	ahead(40*time.Second, 20*time.Second)
	l.Tidy(func(yield func(int, string, string)) { yield(3, "y", "") })

	ahead2 := l.Levels[3]["team t"]
	if len(l.Levels[3]) != 1 || ahead2.Ahead != (20*time.Second).Microseconds() ||
		len(ahead2.Owners) != 0 {
		t.Errorf("after tidying %s", encoded(t, l))
	}
	l.Tidy(func(func(int, string, string)) {})
	if !l.Empty() {
		t.Errorf("without jobs %s", encoded(t, l))
	}
}

func encoded(t *testing.T, l *Ledger) string {
	t.Helper()
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestLedgersAreCheckedAndCopied: whatever calls were made, a ledger passes its check, also once it
// was written and read, and a copy goes its own way.
func TestLedgersAreCheckedAndCopied(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := NewLedger()
		for range rapid.IntRange(0, 40).Draw(rt, "calls") {
			id := job.ID(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "id"))
			took := time.Duration(rapid.Int64().Draw(rt, "took"))
			owner := rapid.SampledFrom([]string{"", "o", "p"}).Draw(rt, "owner")
			team := rapid.SampledFrom([]string{"", "t"}).Draw(rt, "team")
			switch rapid.IntRange(0, 4).Draw(rt, "call") {
			case 0, 1:
				w := rapid.Float64().Draw(rt, "weight")
				l.Place(id, NewPayer(owner, team, w, -w), rapid.IntRange(-1, 1).Draw(rt, "level"), took)
			case 2:
				l.Spend(id, took)
			case 3:
				l.End(id, took)
			case 4:
				live := rapid.Bool().Draw(rt, "live")
				l.Tidy(func(yield func(int, string, string)) {
					for _, c := range l.Charges {
						yield(c.Priority, c.Owner, c.Team)
					}
					if live {
						yield(0, owner, team)
					}
				})
			}
		}

		if err := l.Check(); err != nil {
			rt.Fatal(err, encoded(t, l))
		}
		var read Ledger
		if err := json.Unmarshal([]byte(encoded(t, l)), &read); err != nil {
			rt.Fatal(err)
		}
		again := read.Clone()
		if err := again.Check(); err != nil || encoded(t, again) != encoded(t, l) {
			rt.Fatalf("%s came back as %s: %v", encoded(t, l), encoded(t, again), err)
		}

		before := encoded(t, l)
		again.Place("e", NewPayer("o", "t", 1, 1), 0, time.Hour)
		if encoded(t, l) != before {
			rt.Fatal("a change of the copy shows in the original")
		}
	})
}

// TestDamagedLedgersAreRefused wants one field to be wrong in each.
func TestDamagedLedgersAreRefused(t *testing.T) {
	const charge = `"charges":{"j":{"owner":"o","weight":1000,"cost":5}}`
	const level = `"levels":{"0":{"owner o":{"ahead":5,"jobs":1,"owners":{"o":{"ahead":5,"jobs":1}}}}}`
	read := func(text string) error {
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		l := NewLedger()
		if err := d.Decode(l); err != nil {
			t.Fatal(err)
		}
		return l.Check()
	}

	if err := read("{" + charge + "," + level + "}"); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`"weight":1000`, `"weight":0`}, {`"cost":5`, `"cost":-1`},
		{`"j"`, `"../j"`}, {`"jobs":1,"owners"`, `"jobs":2,"owners"`},
		{`"ahead":5`, `"ahead":2000000000000000000`},
		{`{"ahead":5,"jobs":1}`, `null`}, {`"jobs":1}`, `"jobs":0}`}, {level, `"levels":{}`},
		{`"0"`, `"101"`}, {charge, `"charges":{}`}} {
		text := "{" + charge + "," + level + "}"
		damaged := strings.Replace(text, change[0], change[1], 1)
		if damaged == text || read(damaged) == nil {
			t.Errorf("%s passes", damaged)
		}
	}
}

// TestManyOwnersAreForgotten keeps the ledger small, whoever comes and goes.
func TestManyOwnersAreForgotten(t *testing.T) {
	l := NewLedger()
	for i := range entriesKept + 100 {
		id := job.ID(fmt.Sprint("j", i))
		l.Place(id, NewPayer(fmt.Sprint("o", i), "", 1, 1), 0, time.Duration(i+1)*time.Second)
		l.End(id, time.Duration(i+1)*time.Second)
	}

	l.Tidy(func(yield func(int, string, string)) { yield(0, "busy", "") })
	if n := len(l.Levels[0]); n != entriesKept {
		t.Errorf("%d are kept", n)
	}
	if _, ok := l.Levels[0]["owner o99"]; ok || l.Levels[0]["owner o100"] == nil {
		t.Error("those that are the least ahead should be gone")
	}
	if again := l.Clone(); !reflect.DeepEqual(again, l) {
		t.Error("the copy differs")
	}
}
