package job

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// A job moves between its states by the methods below, and by nothing else:
//
//	queued  --Place-->          running
//	queued  --Fail-->           failed     no shards can make the clip
//	queued  --RequestCancel-->  cancelled
//	running --Lose-->           queued     the next attempt goes on from a checkpoint
//	running --Lose-->           failed     too often without progress
//	running --Complete-->       completed
//	running --Fail-->           failed     or cancelled, if that was asked for
//	running --ConfirmCancel-->  cancelled  after RequestCancel has marked it
//
// Each takes a Record by value and returns the changed copy; a map or a slice in it is copied
// before it is written, so that a reader of the old record is never disturbed. All coordinators
// apply the same transitions in the order of the Raft log. They therefore depend on their arguments
// alone, the time among them, and a repeat of one, which a leader that lost its answer sends,
// changes nothing.

// Errors of transitions. Every error of a transition wraps one of these; the record then comes back
// unchanged.
var (
	// ErrTransition is returned when the job is in a state, or holds something, that rules the
	// transition out: a completed job cannot be placed. Clients see it as 409.
	ErrTransition = errors.New("not possible in this state")

	// ErrStale is returned for a message of another attempt than the one that runs: its shards were
	// given up, and may not know it yet. It fences them off; the sender is told to stop.
	ErrStale = errors.New("of another attempt")
)

// Limits on what is kept of a job. Records live in memory and in every snapshot, for as long as
// jobs are kept.
const (
	ErrorLimit = 2048 // bytes of Record.Error
	NodesLimit = 1024 // ranks of a plan
	WhereLimit = 256  // bytes of Plan.Where and Plan.Predicted

	// FutileLimit is how many attempts may be lost without a step of progress because a rank could
	// not go on: then it is the job. LossLimit is how many may be so lost in all, also with
	// machines.
	FutileLimit = 5
	LossLimit   = 50
	// LossesLimit is how many losses are remembered, the latest ones.
	LossesLimit = 64
)

// New returns a queued job that no attempt was made of. s has passed Model.Resolve; key is the
// request's, empty if it has none.
func New(id ID, key string, s Spec, now time.Time) Record {
	return Record{ID: id, Key: key, Spec: s, State: Queued, Created: now}
}

// Place starts the next attempt of a queued job on the nodes of p. The plan has to be for the
// attempt that follows the record's, and to begin at its checkpoint: a scheduler that decided on an
// older record gets an error, and decides again. The parts of p are dropped, as the record has
// them.
//
// Returns ErrTransition if the job is not queued, ErrStale if the plan is for another attempt, and
// what is wrong with the plan itself otherwise.
func (r Record) Place(p Plan, now time.Time) (Record, error) {
	switch {
	case r.State != Queued:
		return r, r.refuse("place")
	case p.Attempt != r.Attempt+1:
		return r, fmt.Errorf("cannot place job %s: a plan %w: %d, the next is %d", r.ID, ErrStale,
			p.Attempt, r.Attempt+1)
	}
	if err := p.check(r); err != nil {
		return r, fmt.Errorf("cannot place job %s: %w", r.ID, err)
	}

	p.Parts = nil
	r.State, r.Attempt, r.Plan, r.Placed = Running, p.Attempt, p, now
	if r.Started.IsZero() {
		r.Started = now
	}
	return r, nil
}

// check reports whether the plan is one for the next attempt of r.
func (p Plan) check(r Record) error {
	if p.Resume != r.Checkpoint {
		return errors.New("the plan begins at another checkpoint")
	}
	return p.Check(r)
}

// checkShares wants a share of the windows for each group of the mesh that has some.
func (p Plan) checkShares() error {
	if p.Shares == nil {
		return nil // all groups get the same
	}
	if len(p.Shares) != max(1, p.Mesh.Window) {
		return fmt.Errorf("%d shares for a mesh %s", len(p.Shares), p.Mesh)
	}
	for _, s := range p.Shares {
		if !(s > 0 && s < math.MaxFloat32) {
			return fmt.Errorf("a share of %v; allowed: above 0", s)
		}
	}
	return nil
}

// Complete ends the job with the result of its running attempt a. Checkpoints and parts are
// forgotten: the objects they point to may be deleted. A repeat for the attempt that completed the
// job changes nothing, even with another result: the first one was told.
//
// Returns ErrTransition if the job does not run, ErrStale if another attempt does.
func (r Record) Complete(a Attempt, res Result, now time.Time) (Record, error) {
	if r.State == Completed && r.Attempt == a {
		return r, nil
	}
	if err := r.live("complete", a); err != nil {
		return r, err
	}
	r.Result = res
	r.recovered(now)
	return r.end(Completed, now), nil
}

// Fail ends the job for a reason that another attempt would not change, such as a model that makes
// no finite numbers. a is the running attempt, or the latest one of a job that waits (0: it never
// ran), for a clip that no shards can make. The reason is cut to ErrorLimit bytes of UTF-8. If a
// cancel was asked for, the job ends as cancelled instead. A repeat changes nothing.
//
// Returns ErrTransition if the job is final, ErrStale if another attempt runs.
func (r Record) Fail(a Attempt, reason string, now time.Time) (Record, error) {
	if r.State == Failed && r.Attempt == a {
		return r, nil
	}
	if r.State != Queued || r.Attempt != a {
		if err := r.live("fail", a); err != nil {
			return r, err
		}
	}

	r.Error = strings.ToValidUTF8(reason[:min(len(reason), ErrorLimit)], "")
	if r.CancelRequested {
		return r.end(Cancelled, now), nil
	}
	return r.end(Failed, now), nil
}

// Save takes a checkpoint of the running attempt a, from which the next attempt would go on. The
// one before stays as Before, in case this one cannot be read. A checkpoint that is not beyond the
// latest changes nothing: ranks write in their own time, and an older one may arrive last.
//
// Returns ErrTransition if the job does not run or has no such step, ErrStale if another attempt
// runs.
func (r Record) Save(a Attempt, c Checkpoint, now time.Time) (Record, error) {
	if err := r.live("save a checkpoint of", a); err != nil {
		return r, err
	}
	if c.Step < 1 || c.Step > r.Spec.TotalSteps() || c.Object.Name == "" {
		return r, fmt.Errorf("cannot save a checkpoint of job %s: step %d of %d, object %.64q: %w",
			r.ID, c.Step, r.Spec.TotalSteps(), c.Object.Name, ErrTransition)
	}

	if c.Step > r.Checkpoint.Step {
		r.Before, r.Checkpoint = r.Checkpoint, c
		r.recovered(now)
	}
	return r, nil
}

// Keep takes a part that the running attempt a has finished, such as a second of the clip, which
// later attempts then need not make. The first object of a name stays: the bytes of a part do not
// depend on who makes it, so a repeat changes nothing, and another object is refused.
//
// Returns ErrTransition for a name or an object that cannot be, for another object, and beyond
// PartsLimit; ErrStale if another attempt runs.
func (r Record) Keep(a Attempt, name string, o Object) (Record, error) {
	if err := r.live("keep a part of", a); err != nil {
		return r, err
	}
	if err := cmp.Or(CheckPart(name), o.Check()); err != nil {
		return r, fmt.Errorf("cannot keep a part of job %s: %w: %w", r.ID, err, ErrTransition)
	}

	old, ok := r.Parts[name]
	switch {
	case ok && old == o:
		return r, nil
	case ok:
		return r, fmt.Errorf("cannot keep part %s of job %s: it is another object already: %w", name,
			r.ID, ErrTransition)
	case len(r.Parts) >= PartsLimit:
		return r, fmt.Errorf("cannot keep part %s of job %s: it has %d: %w", name, r.ID, PartsLimit,
			ErrTransition)
	}

	parts := make(map[string]Object, len(r.Parts)+1)
	maps.Copy(parts, r.Parts)
	parts[name] = o
	r.Parts = parts
	return r, nil
}

// recovered notes when the job came beyond the step to which its last loss had thrown it back. The
// time since the loss is what a failure cost, and what operators are shown.
func (r *Record) recovered(now time.Time) {
	if n := len(r.Losses); n > 0 && r.Losses[n-1].Recovered.IsZero() {
		r.Losses = slices.Clone(r.Losses)
		r.Losses[n-1].Recovered = now
	}
}

// Setback is how an attempt came to an early end that is not the job's fault.
type Setback struct {
	Reason  string `json:"reason"`
	Damaged bool   `json:"damaged,omitempty"` // the latest checkpoint cannot be read
	Planned bool   `json:"planned,omitempty"` // it stopped at a boundary, as it was asked to
	Own     bool   `json:"own,omitempty"`     // a rank could not go on, and blames no other
	Done    int    `json:"done,omitempty"`    // steps that were done
	// Detection is how long the fault was there before it was noticed; 0: it was reported at once.
	Detection time.Duration `json:"detection_ns,omitempty"`
}

// Lose gives the running attempt a up: the job waits for the next one, which goes on from the
// latest checkpoint, or from the one before if that is damaged. A job that was to be cancelled ends
// as cancelled. One that has lost too many attempts without a step of progress fails (see
// FutileLimit): then it is the job that breaks its shards. A repeat changes nothing.
//
// Returns ErrTransition if the job does not run, ErrStale if another attempt does.
func (r Record) Lose(a Attempt, b Setback, now time.Time) (Record, error) {
	if n := len(r.Losses); n > 0 && r.Losses[n-1].Attempt == a && r.Attempt == a {
		return r, nil
	}
	if err := r.live("give up an attempt of", a); err != nil {
		return r, err
	}

	reason := strings.ToValidUTF8(b.Reason[:min(len(b.Reason), ErrorLimit)], "")
	if r.CancelRequested {
		return r.Fail(a, reason, now)
	}

	// From here on the job goes back: to the checkpoint, and by the steps since.
	if b.Damaged {
		r.Checkpoint, r.Before = r.Before, Checkpoint{}
	}
	loss := Loss{Attempt: a, Reason: reason, Step: r.Checkpoint.Step, Time: now, Planned: b.Planned,
		Own: b.Own, Redone: max(0, min(b.Done, r.Spec.TotalSteps())-r.Checkpoint.Step),
		Detection: b.Detection, Began: r.Placed, Where: r.Plan.Where}
	r.Losses = append(slices.Clone(r.Losses), loss)
	r.Losses = r.Losses[max(0, len(r.Losses)-LossesLimit):]

	if lost, own := r.Futile(); own >= FutileLimit || lost >= LossLimit {
		return r.Fail(a, fmt.Sprintf("%s; %d attempts were lost without progress", reason, lost), now)
	}
	r.State = Queued
	return r, nil
}

// LastLoss is when the latest attempt was lost, zero if none was.
func (r Record) LastLoss() time.Time {
	if n := len(r.Losses); n > 0 {
		return r.Losses[n-1].Time
	}
	return time.Time{}
}

// Futile counts the latest losses since a step of progress was saved (lost), and those among them
// after which a rank blamed no other (own): machines die for reasons of theirs, but a job whose
// ranks themselves cannot go on will not on others. Planned stops count for nothing.
func (r Record) Futile() (lost, own int) {
	best := 0

	for _, l := range r.Losses {
		if l.Planned {
			continue
		}
		// A loss that left the job further than all before it was no futile one; nor were those
		// before.
		if l.Step > best {
			lost, own, best = 0, 0, l.Step
		}
		lost++
		if l.Own {
			own++
		}
	}
	return lost, own
}

// AttemptsLeft is how many more attempts may be lost without a step of progress before the job
// fails.
func (r Record) AttemptsLeft() int {
	lost, own := r.Futile()
	return max(0, min(LossLimit-lost, FutileLimit-own))
}

// RequestCancel ends a queued job and marks a running one, whose shards then stop in the middle of
// a step and report so: see ConfirmCancel. On a cancelled job, or a second time, it changes
// nothing.
//
// Returns ErrTransition if the job has completed or failed.
func (r Record) RequestCancel(now time.Time) (Record, error) {
	switch r.State {
	case Queued:
		return r.end(Cancelled, now), nil
	case Running:
		r.CancelRequested = true
		return r, nil
	case Cancelled:
		return r, nil
	}
	return r, r.refuse("cancel")
}

// ConfirmCancel ends the job after its running attempt a has stopped because a cancel was asked
// for. A repeat changes nothing.
//
// Returns ErrTransition if the job does not run or nobody asked, ErrStale if another attempt runs.
func (r Record) ConfirmCancel(a Attempt, now time.Time) (Record, error) {
	if r.State == Cancelled && r.Attempt == a {
		return r, nil
	}
	if err := r.live("end the cancelled", a); err != nil {
		return r, err
	}
	if !r.CancelRequested {
		return r, fmt.Errorf("cannot end job %s as cancelled: nobody asked for it: %w", r.ID,
			ErrTransition)
	}
	return r.end(Cancelled, now), nil
}

// Delete reports whether the job may be forgotten, which takes it out of the coordinators' state
// altogether. Returns ErrTransition unless it is final.
func (r Record) Delete() error {
	if !r.State.Final() {
		return r.refuse("delete")
	}
	return nil
}

// live wants attempt a to be the one that runs. It is the fence of every message from a shard: verb
// says in the error what the sender was about to do.
func (r Record) live(verb string, a Attempt) error {
	switch {
	case r.State != Running:
		return r.refuse(verb)
	case r.Attempt != a:
		return fmt.Errorf("cannot %s job %s: a message %w: %d, %d runs", verb, r.ID, ErrStale,
			a, r.Attempt)
	}
	return nil
}

// refuse says that a job cannot do something in its state.
func (r Record) refuse(verb string) error {
	return fmt.Errorf("cannot %s job %s: it is %s: %w", verb, r.ID, r.State, ErrTransition)
}

// end makes the job final. What only later attempts would have used goes.
func (r Record) end(s State, now time.Time) Record {
	r.State, r.Finished = s, now
	r.Checkpoint, r.Before, r.Parts = Checkpoint{}, Checkpoint{}, nil
	return r
}
