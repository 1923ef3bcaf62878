package job

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func planOf(r Record, a Attempt, nodes int) Plan {
	p := Plan{Job: r.ID, Attempt: a, Spec: r.Spec, Mesh: Mesh{CFG: 1, Ulysses: nodes}}
	for i := range nodes {
		p.Nodes = append(p.Nodes, NodeID(fmt.Sprintf("n%d", i)))
	}
	return p
}

// at returns a job in each state, in its first attempt where it has one.
func jobIn(t testing.TB, s State) Record {
	t.Helper()
	must := func(r Record, err error) Record {
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := New("j", "", Spec{Prompt: "p"}, now)
	if s == Queued {
		return r
	}
	r = must(r.Place(planOf(r, 1, 2), now))
	switch s {
	case Completed:
		return must(r.Complete(1, Result{}, now))
	case Failed:
		return must(r.Fail(1, "broke", now))
	case Cancelled:
		return must(must(r.RequestCancel(now)).ConfirmCancel(1, now))
	}
	return r
}

func TestTransitionsPerState(t *testing.T) {
	moves := map[string]func(Record) (Record, error){
		"place":     func(r Record) (Record, error) { return r.Place(planOf(r, r.Attempt+1, 2), now) },
		"complete":  func(r Record) (Record, error) { return r.Complete(1, Result{}, now) },
		"fail":      func(r Record) (Record, error) { return r.Fail(1, "x", now) },
		"cancel":    func(r Record) (Record, error) { return r.RequestCancel(now) },
		"cancelled": func(r Record) (Record, error) { return r.ConfirmCancel(1, now) },
		"delete":    func(r Record) (Record, error) { return r, r.Delete() },
	}
	// To what state each move leads; those not listed are refused.
	allowed := map[State]map[string]State{
		Queued:    {"place": Running, "cancel": Cancelled},
		Running:   {"complete": Completed, "fail": Failed, "cancel": Running},
		Completed: {"complete": Completed, "delete": Completed},
		Failed:    {"fail": Failed, "delete": Failed},
		Cancelled: {"cancel": Cancelled, "cancelled": Cancelled, "delete": Cancelled},
	}
	for from, want := range allowed {
		for name, move := range moves {
			before := jobIn(t, from)
			got, err := move(before)
			to, ok := want[name]
			switch {
			case ok && (err != nil || got.State != to):
				t.Errorf("%s a %s job: %s, %v; want %s", name, from, got.State, err, to)
			case !ok && !errors.Is(err, ErrTransition):
				t.Errorf("%s a %s job: %v; want ErrTransition", name, from, err)
			case !ok && got.State != from:
				t.Errorf("a refused %s left a %s job %s", name, from, got.State)
			}
		}
	}
}

func TestStaleAttemptsChangeNothing(t *testing.T) {
	r := jobIn(t, Running)
	for _, a := range []Attempt{0, 2} {
		for name, err := range map[string]error{
			"complete": second(r.Complete(a, Result{}, now)), "fail": second(r.Fail(a, "x", now)),
			"cancelled": second(r.ConfirmCancel(a, now)),
		} {
			if !errors.Is(err, ErrStale) {
				t.Errorf("%s of attempt %d: %v; want ErrStale", name, a, err)
			}
		}
	}
	q := jobIn(t, Queued)
	for _, a := range []Attempt{0, 2, 9} {
		if _, err := q.Place(planOf(q, a, 1), now); !errors.Is(err, ErrStale) {
			t.Errorf("place attempt %d: %v", a, err)
		}
	}
}

func second(_ Record, err error) error { return err }

func TestBrokenPlansAreRefused(t *testing.T) {
	q := jobIn(t, Queued)
	for name, spoil := range map[string]func(*Plan){
		"other job":   func(p *Plan) { p.Job = "k" },
		"other spec":  func(p *Plan) { p.Spec.Prompt = "q" },
		"no nodes":    func(p *Plan) { p.Nodes = nil },
		"wrong mesh":  func(p *Plan) { p.Mesh.CFG = 2 },
		"minus mesh":  func(p *Plan) { p.Mesh = Mesh{CFG: -1, Ulysses: -2} },
		"node twice":  func(p *Plan) { p.Nodes[1] = p.Nodes[0] },
		"no name":     func(p *Plan) { p.Nodes[1] = "" },
		"wide a mesh": func(p *Plan) { p.Mesh = Mesh{CFG: 1, Ulysses: 3} },
	} {
		p := planOf(q, 1, 2)
		spoil(&p)
		if r, err := q.Place(p, now); err == nil || r.State != Queued {
			t.Errorf("%s: %v, %s", name, err, r.State)
		}
	}
}

func TestFailureAfterCancelEndsAsCancelled(t *testing.T) {
	r, err := jobIn(t, Running).RequestCancel(now)
	if err != nil {
		t.Fatal(err)
	}
	r, err = r.Fail(1, "a peer went away", now)
	if err != nil || r.State != Cancelled || r.Error == "" {
		t.Fatalf("%+v, %v", r, err)
	}
}

// TestMachineInvariants runs random commands: final states stay, attempts only grow, by one, and
// a refused command changes nothing.
func TestMachineInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := New("j", "", Spec{}, now)
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			a := Attempt(rapid.IntRange(0, 3).Draw(t, "attempt"))
			before := r
			after, err := step(rapid.IntRange(0, 4).Draw(t, "move"), r, a)
			checkStep(t, before, after, err)
			r = after
		}
	})
}

func step(move int, r Record, a Attempt) (Record, error) {
	switch move {
	case 0:
		return r.Place(planOf(r, a, 1+int(a)), now)
	case 1:
		return r.Complete(a, Result{ContentType: "x"}, now)
	case 2:
		return r.Fail(a, "x", now)
	case 3:
		return r.RequestCancel(now)
	}
	return r.ConfirmCancel(a, now)
}

func checkStep(t *rapid.T, before, after Record, err error) {
	same := fmt.Sprintf("%+v", before) == fmt.Sprintf("%+v", after)
	switch {
	case err != nil && !same:
		t.Fatalf("a refused command changed %+v to %+v", before, after)
	case before.State.Final() && !same:
		t.Fatalf("a final job changed from %+v to %+v", before, after)
	case after.Attempt < before.Attempt || after.Attempt > before.Attempt+1:
		t.Fatalf("attempt %d became %d", before.Attempt, after.Attempt)
	case after.Attempt != before.Attempt && before.State != Queued:
		t.Fatalf("a second live attempt of a %s job", before.State)
	case after.State.Final() != !after.Finished.IsZero():
		t.Fatalf("%s, finished %v", after.State, after.Finished)
	case after.State == Running && after.Plan.Attempt != after.Attempt:
		t.Fatalf("attempt %d runs plan %d", after.Attempt, after.Plan.Attempt)
	}
}

// runningJob returns a job in its first attempt.
func runningJob(t *testing.T) Record {
	t.Helper()
	r := New("j", "", Spec{Steps: 10}, time.Time{})
	p := Plan{Job: "j", Attempt: 1, Spec: r.Spec, Mesh: Mesh{CFG: 1, Ulysses: 1}, Nodes: []NodeID{"a"}}
	r, err := r.Place(p, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestALostAttemptGoesOnFromItsCheckpoint(t *testing.T) {
	r := runningJob(t)
	save := func(a Attempt, step int) error {
		next, err := r.Save(a, Checkpoint{Step: step, Object: stored(fmt.Sprint(step))}, now)
		r = next
		return err
	}
	for _, step := range []int{3, 2} { // an older one comes late
		if err := save(1, step); err != nil || r.Checkpoint.Step != 3 {
			t.Fatalf("step %d: %+v, %v", step, r.Checkpoint, err)
		}
	}
	for _, step := range []int{0, 11} {
		if err := save(1, step); err == nil {
			t.Fatalf("a checkpoint of step %d of 10 was taken", step)
		}
	}
	if err := save(2, 4); !errors.Is(err, ErrStale) {
		t.Fatalf("a checkpoint of another attempt: %v", err)
	}
	for range 2 { // a repeat changes nothing
		var err error
		if r, err = r.Lose(1, Setback{Reason: "gone", Done: 4}, now); err != nil || r.State != Queued ||
			len(r.Losses) != 1 || r.Losses[0].Step != 3 || r.Losses[0].Redone != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	p := Plan{Job: "j", Attempt: 2, Spec: r.Spec, Mesh: Mesh{CFG: 1, Ulysses: 1}, Nodes: []NodeID{"b"}}
	if _, err := r.Place(p, time.Time{}); err == nil {
		t.Fatal("a plan from the beginning was taken")
	}
	p.Resume = r.Checkpoint
	r, err := r.Place(p, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err = r.Lose(2, Setback{Reason: "unreadable", Damaged: true}, now); err != nil || r.Checkpoint.Step != 0 {
		t.Fatalf("a damaged checkpoint stays: %+v, %v", r, err)
	}
	p.Attempt, p.Resume = 3, Checkpoint{}
	if r, err = r.Place(p, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if r, err = r.Complete(3, Result{}, time.Time{}); err != nil || len(r.Losses) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// TestADamagedCheckpointFallsBackOnTheOneBefore loses an attempt whose checkpoint cannot be read,
// twice: the second time there is none left.
func TestADamagedCheckpointFallsBackOnTheOneBefore(t *testing.T) {
	r := runningJob(t)
	for _, step := range []int{2, 5} {
		r, _ = r.Save(1, Checkpoint{Step: step, Object: stored(fmt.Sprint(step))}, now)
	}
	for i, want := range []int{2, 0} {
		a := Attempt(i + 1)
		var err error
		if r, err = r.Lose(a, Setback{Reason: "unreadable", Damaged: true}, now); err != nil ||
			r.Checkpoint.Step != want || r.Losses[i].Step != want {
			t.Fatalf("%+v, %v; want step %d", r, err, want)
		}
		p := planOf(r, a+1, 1)
		p.Resume = r.Checkpoint
		if r, err = r.Place(p, now); err != nil {
			t.Fatal(err)
		}
	}
	later := now.Add(time.Minute)
	r, err := r.Save(3, Checkpoint{Step: 1, Object: stored("x")}, later)
	if err != nil || !r.Losses[1].Recovered.Equal(later) || !r.Losses[0].Recovered.IsZero() {
		t.Errorf("%+v, %v", r.Losses, err)
	}
}

// TestFutileAttemptsEndAJob counts losses without progress; planned ones do not count.
func TestFutileAttemptsEndAJob(t *testing.T) {
	r := runningJob(t)
	for i := 1; r.State == Running; i++ {
		planned := i%2 == 0
		next, err := r.Lose(Attempt(i), Setback{Reason: "gone", Planned: planned, Own: !planned}, now)
		if err != nil {
			t.Fatal(err)
		}
		if want := i == 2*FutileLimit-1; (next.State == Failed) != want {
			t.Fatalf("after %d losses the job is %s", i, next.State)
		}
		if r = next; r.State == Queued {
			p := planOf(r, Attempt(i+1), 1)
			if r, err = r.Place(p, now); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestALostAttemptOfACancelledJobEndsIt(t *testing.T) {
	r, err := runningJob(t).RequestCancel(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err = r.Lose(1, Setback{Reason: "gone", Done: 4}, now); err != nil || r.State != Cancelled {
		t.Fatalf("%+v, %v", r, err)
	}
}
