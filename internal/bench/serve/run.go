package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

const (
	// hopeless is how many clips in a row may fail before the run ends: a server that is gone would
	// fail a thousand in a second. Clips that a server refuses under load do not count, unless only
	// time ends the run.
	hopeless = 10
	// tellEvery is how often progress is told while nothing ends.
	tellEvery = time.Second
)

// Arrivals do not wait for answers, answers do not wait for the disk, and the disk does not wait
// for people: whatever is slow must not slow down what is measured. So sending, collecting and
// telling are apart, and a clip's times are taken where it is sent.

// Status is how far a run is, for people.
type Status struct {
	What        string  // of the pass under way, such as "rate 0.5/s"
	Done, Total int     // clips of the pass; Total 0: time decides
	InFlight    int     // clips under way
	Failed      int     // of Done
	P50         float64 // seconds, of the clips that count; 0: none yet
	PerHour     float64 // clips
	Shows       float64 // difference that pairs could show, as a share; 0: nobody knows or asked
	Elapsed     time.Duration
	Left        time.Duration // 0: nobody knows
}

// pass is one go at the setup's slots.
type pass struct {
	n      int // in the journal
	what   string
	phase  string  // of the clips that count
	point  int     // in the sweep
	rate   float64 // of an open loop without times of its own
	single int     // so many clips, one after the other, in place of the scenario's
	// resumable: clips that are in the journal count, though the pass was interrupted. A window whose
	// queue was lost does not say whether the server keeps up, so it is begun anew.
	resumable bool
	faults    []plannedFault
}

// A closed loop (single-stream, offline) asks for the next clip when a place is free, and an open
// one when it is due. The difference is all there is between a benchmark of latency and one of
// load.

// running is a pass under way. The goroutine of collect owns it, but for inFlight.
type running struct {
	pass
	b     *Bench
	slots []Slot  // that are left
	began float64 // by the run's clock
	total int     // with those that an earlier session has made
	// What has ended: all of it, how many of these failed, and how many of the last ones in a row.
	done   []result.Request
	failed int
	row    int
	// inFlight is counted by those who send, and read by who tells.
	inFlight atomic.Int64
	// one has an entry for each clip that has ended; seen is how many of them disturb has taken.
	one  chan struct{}
	seen int
}

// do carries a pass out, or what is left of it, and returns its clips. Where ctx ends, what is
// under way is cancelled and not recorded.
func (b *Bench) do(ctx context.Context, p pass) ([]result.Request, error) {
	slots := b.Setup.slots(p, len(b.slots))
	r := &running{pass: p, b: b, one: make(chan struct{}, len(slots))}
	b.slots = append(b.slots, slots...)
	log := b.Journal.pass(p.n)
	if log.ended {
		return log.requests, nil
	}

	if !p.resumable && (len(log.requests) > 0 || log.began != nil) {
		if err := b.Journal.add(entry{Pass: p.n, Dropped: true}); err != nil {
			return nil, err
		}
	}

	if log.began == nil {
		if err := b.Journal.add(entry{Pass: p.n, Began: new(b.clock.now())}); err != nil {
			return nil, err
		}
	}

	r.began, r.done, r.total = *log.began, log.requests, len(slots)
	had := map[int]bool{}
	for _, q := range r.done {
		had[q.Index] = true
		r.count(q)
	}

	for _, s := range slots {
		if !had[s.Index] {
			r.slots = append(r.slots, s)
		}
	}

	if err := r.collect(ctx); err != nil {
		return r.done, err
	}
	return r.done, b.Journal.add(entry{Pass: p.n, Ended: true})
}

// count takes a clip into the sums.
func (r *running) count(q result.Request) {
	if q.OK() {
		r.row = 0
		return
	}
	r.failed++
	if q.Failure.Class != result.FailBusy || r.b.Setup.Count == 0 && !r.open() {
		r.row++
	}
}

// collect writes down what ends, until all of it has.
func (r *running) collect(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan entry)
	go r.send(ctx, ended)

	// Ended is read to its end in any case: senders wait until their clip is taken.
	var failed error
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-ended:
			if !ok {
				if failed == nil && ctx.Err() != nil {
					failed = context.Cause(ctx)
				}
				return failed
			}
			if failed != nil {
				continue // what is still to come is of a run that has failed
			}
			if failed = r.take(e); failed != nil {
				stop(failed)
			}
		case <-tick.C:
			// The clip that is under way says nothing, but time goes on.
		}
		r.tell()
	}
}

// A clip that was under way when the user interrupted the run has neither succeeded nor failed: it
// is left out, and asked for again by the next session.

// take records what has ended. An error ends the run.
func (r *running) take(e entry) error {
	e.Pass = r.n
	if e.Request != nil && e.Request.Failure != nil &&
		e.Request.Failure.Class == result.FailInterrupted {
		return nil
	}

	// First the disk, then everything else: what was counted is never lost.
	if err := r.b.Journal.add(e); err != nil {
		return err
	}

	r.done = r.b.Journal.pass(r.n).requests
	if e.Request == nil {
		return nil
	}

	r.one <- struct{}{} // it has room for all
	if r.count(*e.Request); r.row >= hopeless {
		return fmt.Errorf("the last %d clips failed, and the run has ended: %s", r.row,
			e.Request.Failure.Message)
	}
	return nil
}

// send asks for all slots, each when it is due, and lets faults happen; it closes ended when all is
// over.
func (r *running) send(ctx context.Context, ended chan<- entry) {
	var under sync.WaitGroup
	defer func() {
		under.Wait()
		close(ended)
	}()
	disturb, calm := context.WithCancel(ctx)
	defer calm() // before the wait: no fault is due after the last clip
	under.Go(func() { r.disturb(disturb, ended) })

	clips := sync.WaitGroup{}
	defer clips.Wait()
	limit := r.b.Setup.InFlight
	if r.single > 0 || r.b.Setup.Scenario == SingleStream {
		limit = 1
	}

	free := make(chan struct{}, limit)
	deadline := r.deadline()
	for _, s := range r.slots {
		// A clip of an open loop is planned for its time, or for now where the run was interrupted then.
		planned := 0.0
		if r.open() {
			planned = max(r.began+s.At.Seconds(), r.b.clock.session)
			if !r.b.clock.until(ctx, planned) {
				return
			}
		}
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if !r.open() {
			if r.b.Turns.take(ctx, r.b.Setup.Side, s.Index) != nil {
				return
			}
			planned = r.b.clock.now()
			if deadline(s, planned) {
				r.b.Turns.release(r.b.Setup.Side, nil)
				<-free
				return
			}
		}
		if ctx.Err() != nil {
			return
		}

		r.inFlight.Add(1)
		clips.Go(func() {
			q := r.b.make(ctx, s, planned)
			r.b.Turns.release(r.b.Setup.Side, &q)
			r.inFlight.Add(-1)
			<-free
			ended <- entry{Request: &q}
		})
	}
}

// open reports whether clips are asked for at times of their own.
func (r *running) open() bool { return r.single == 0 && r.b.Setup.Scenario.open() }

// A loop that goes by time stops asking, and waits for what is under way: clips that are cut off at
// the end would be the slow ones.

// deadline says whether a closed loop is over when it is about to ask for a clip: its duration
// counts from the first clip that counts.
func (r *running) deadline() func(Slot, float64) bool {
	length, first := r.b.Setup.Duration.Seconds(), -1.0
	for _, q := range r.done {
		if q.Phase != result.PhaseWarmup && (first < 0 || q.Sent < first) {
			first = q.Sent
		}
	}
	return func(s Slot, now float64) bool {
		if s.Phase == result.PhaseWarmup || length == 0 {
			return false
		}
		if first < 0 {
			first = now
		}
		return now-first >= length
	}
}

// The target has a limit of its own for a clip, and the context has it again here, for targets that
// forget theirs: a server that never answers may cost the time that the user allowed, and no more.

// make asks for one clip.
func (b *Bench) make(ctx context.Context, s Slot, planned float64) result.Request {
	// The server's own account of when it was sent goes before this one, as it is closer to the wire.
	sent := b.clock.now()
	limited, cancel := context.WithTimeout(ctx, b.Setup.Timeout)
	defer cancel()
	o, err := b.Target.Make(limited, s.Request, nil)
	if !o.Sent.IsZero() {
		sent = b.clock.at(o.Sent)
	}

	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = &target.Failure{Kind: target.Late, Message: fmt.Sprintf("the clip is not there after %v "+
			"(--timeout)", b.Setup.Timeout)}
	}

	if err != nil && ctx.Err() != nil {
		err = &target.Failure{Kind: target.Cancelled, Message: "the run has ended"}
	}
	return record(s, min(planned, sent), sent, o, err)
}

// What is left is said by the clips that have ended, in the time that these took. It is wrong at
// the start, when all are under way, and right when somebody looks a second time.

// tell says how far the pass is.
func (r *running) tell() {
	if r.b.Tell == nil {
		return
	}

	// Clips of a warm-up are no news, but of single clips nothing else is there to tell.
	now := r.b.clock.now()
	s := Status{What: r.what, Done: len(r.done), Total: r.total, Failed: r.failed,
		InFlight: int(r.inFlight.Load()), Elapsed: seconds(now - r.began)}
	var made []result.Request
	for _, q := range r.done {
		if q.OK() && (q.Phase != result.PhaseWarmup || r.single > 0) {
			made = append(made, q)
		}
	}

	s.Shows = r.b.Turns.showing()
	s.P50, s.PerHour = median(made, latency), 3600*completions(made)
	length := r.b.Setup.Duration
	if r.b.Setup.Count == 0 && length > 0 && !r.open() && r.single == 0 {
		s.Total, s.Left = 0, max(0, length-s.Elapsed)
	} else if s.Done > 0 {
		s.Left = time.Duration(float64(s.Elapsed) / float64(s.Done) * float64(s.Total-s.Done))
	}
	r.b.Tell(s)
}

// Times in a result are seconds since the run began, as floats: what is measured is not exact to a
// nanosecond, and readers of JSON know no durations.

// seconds is a duration of so many.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// clock is the run's own time: seconds since it began, without the pauses between its sessions.
type clock struct {
	origin  time.Time
	session float64 // when this session began
}

// startClock goes on from where an earlier session ended.
func startClock(from float64) clock {
	return clock{origin: time.Now().Add(-seconds(from)), session: from}
}

func (c clock) now() float64 { return time.Since(c.origin).Seconds() }

func (c clock) at(t time.Time) float64 { return max(0, t.Sub(c.origin).Seconds()) }

// until waits for a time; false: ctx has ended before.
func (c clock) until(ctx context.Context, at float64) bool {
	wait := seconds(at - c.now())
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// interrupted reports whether an error says that the user has ended the run.
func interrupted(err error) bool { return errors.Is(err, context.Canceled) }
