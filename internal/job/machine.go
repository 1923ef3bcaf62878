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

// Errors of transitions; every error below wraps one of them.
var (
	ErrTransition = errors.New("not possible in this state")
	ErrStale      = errors.New("of another attempt")
)

// Limits on what is kept of a job.
const (
	ErrorLimit = 2048 // bytes of Record.Error
	NodesLimit = 1024 // ranks of a plan
	WhereLimit = 256  // bytes of Plan.Where

	// FutileLimit is how many attempts may be lost without a step of progress because a rank could
	// not go on: then it is the job. LossLimit is how many may be so lost in all, also with
	// machines.
	FutileLimit = 5
	LossLimit   = 50
	// LossesLimit is how many losses are remembered, the latest ones.
	LossesLimit = 64
)

// New returns a queued job.
func New(id ID, key string, s Spec, now time.Time) Record {
	return Record{ID: id, Key: key, Spec: s, State: Queued, Created: now}
}

// Place starts the next attempt of a queued job on the nodes of p.
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
	p.Parts = nil // the record has them
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

func (p Plan) checkShares() error {
	if p.Shares == nil {
		return nil
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

// Complete ends the running attempt a with its result. A repeat for the attempt that completed the
// job changes nothing.
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

// Fail ends the running attempt a, or a job that waits for its first one (a is 0), for a reason. If
// a cancel was asked for, the job ends as cancelled. A repeat changes nothing.
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

// Save takes a checkpoint of the running attempt a, and keeps the one before it. One that is not
// beyond the latest changes nothing.
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

// Keep takes a part that the running attempt a has finished. The first object of a name stays: a
// repeat changes nothing, another one is refused.
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

// recovered notes that the job is beyond where its last loss threw it back to.
func (r *Record) recovered(now time.Time) {
	if n := len(r.Losses); n > 0 && r.Losses[n-1].Recovered.IsZero() {
		r.Losses = slices.Clone(r.Losses)
		r.Losses[n-1].Recovered = now
	}
}

// Setback is how an attempt came to an end before its time.
type Setback struct {
	Reason    string        `json:"reason"`
	Damaged   bool          `json:"damaged,omitempty"` // the latest checkpoint is of no use
	Planned   bool          `json:"planned,omitempty"` // it stopped at a boundary, as it was asked to
	Own       bool          `json:"own,omitempty"`     // a rank could not go on, and blames nobody
	Done      int           `json:"done,omitempty"`    // steps that were done
	Detection time.Duration `json:"detection_ns,omitempty"`
}

// Lose gives the running attempt a up for a reason that is not the job's: the job waits for its
// next one, which goes on from the latest checkpoint, or the one before if that is damaged. A job
// that loses too many without progress fails, one that was to be cancelled is. A repeat changes
// nothing.
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

// Futile counts the latest losses that brought the job no further than the one before them, and
// those among them that are a rank's own. Planned ones do not count.
func (r Record) Futile() (lost, own int) {
	best := 0
	for _, l := range r.Losses {
		if l.Planned {
			continue
		}
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

// RequestCancel ends a queued job and marks a running one, whose shards then stop in
// the middle of a step. On a cancelled job, or a second time, it changes nothing.
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

// ConfirmCancel ends the running attempt a, which stopped because a cancel was asked for. A repeat
// changes nothing.
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

// Delete reports whether the job may be forgotten: only a final one.
func (r Record) Delete() error {
	if !r.State.Final() {
		return r.refuse("delete")
	}
	return nil
}

// live checks that attempt a is the one that runs.
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

func (r Record) refuse(verb string) error {
	return fmt.Errorf("cannot %s job %s: it is %s: %w", verb, r.ID, r.State, ErrTransition)
}

func (r Record) end(s State, now time.Time) Record {
	r.State, r.Finished = s, now
	r.Checkpoint, r.Before, r.Parts = Checkpoint{}, Checkpoint{}, nil
	return r
}
