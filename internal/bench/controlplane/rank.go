package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// Why a rank ends early.
var (
	errNotLive   = errors.New("the attempt is not live any more")
	errCancelled = errors.New("the job is cancelled")
	errAlone     = errors.New("other ranks did not come")
)

const (
	// Of the text, and of decoding.
	tailTime = 500 * time.Millisecond
	// Of rank 0's progress within a step.
	reportEvery = 300 * time.Millisecond
	// For the other ranks to be there.
	joinTime = 30 * time.Second
	// Between two previews.
	previewRest = 2 * time.Second
)

// rank is what a shard works on. Rank 0 has the clock of the attempt; the others wait for it, as
// they would in every layer of a real step.
type rank struct {
	s     *shard
	order wire.StartOrder
	// Ends the rank; the cause says why.
	ctx    context.Context
	cancel context.CancelCauseFunc
	began  time.Time
	yield  atomic.Bool

	mu    sync.Mutex
	stage job.Stage
	// That are done in the stage.
	step int
	// Zero: it computes.
	ended time.Time
	// The step of the latest checkpoint that was acknowledged.
	saved  int
	saving bool
	// When the latest preview was sent.
	shown time.Time
}

// attempt is where the ranks of one attempt meet.
type attempt struct {
	want   int
	mu     sync.Mutex
	joined int
	// Closed once all are there.
	ready chan struct{}
	// Closed when rank 0 needs the others no more.
	done    chan struct{}
	endOnce sync.Once
}

// join is called once by each rank; the last one starts the work.
func (a *attempt) join() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.joined++; a.joined == a.want {
		close(a.ready)
	}
}

// end lets go of the other ranks.
func (a *attempt) end() { a.endOnce.Do(func() { close(a.done) }) }

func (w *rank) name() wire.Work {
	return wire.Work{Job: w.order.Plan.Job, Attempt: w.order.Plan.Attempt, Rank: w.order.Rank}
}

// usage is what the rank has used so far.
func (w *rank) usage() job.Usage {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := w.ended
	if end.IsZero() {
		end = time.Now()
	}
	return job.Usage{Time: max(1, end.Sub(w.began)), Memory: deviceMemory / 8}
}

// at returns the stage of the rank and what is done in it.
func (w *rank) at() (job.Stage, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stage, w.step
}

// obey carries out what the leader says of the rank.
func (w *rank) obey(p wire.Pulse) {
	switch {
	case p.Stop:
		w.s.f.noticed(w.name())
		w.cancel(errNotLive)
	case p.Cancel:
		w.cancel(errCancelled)
	default:
		w.yield.Store(p.Yield)
	}
}

// run is the life of a rank, to its last word.
func (w *rank) run() {
	w.s.beatNow()
	a := w.s.f.meet(w.order.Plan)
	a.join()
	var err error
	if w.order.Rank == 0 {
		err = w.lead(a)
		a.end()
	} else {
		select {
		case <-a.done:
		case <-w.ctx.Done():
		}
	}

	// The device is free from here on; what is said afterwards does not count as its time.
	w.mu.Lock()
	w.ended = time.Now()
	w.mu.Unlock()

	// A rank that is to stop says no more; one whose job is cancelled has to confirm that.
	cause := context.Cause(w.ctx)
	switch {
	case errors.Is(cause, errCancelled):
		w.deliver(kindCancel+" confirmed", wire.SubjectFail, w.failure(wire.Failure{Cancelled: true,
			Reason: cause.Error()}))
	case cause == nil && err != nil:
		w.deliver(kindFailed, wire.SubjectFail, w.failure(wire.Failure{Reason: err.Error()}))
	}
	w.cancel(nil)
	w.s.finished(w)
	w.s.f.part(w.order.Plan)
}

// failure says of which rank a last word is. Peer -1: it accuses nobody.
func (w *rank) failure(f wire.Failure) wire.Failure {
	f.Node, f.Work, f.Peer, f.Usage = w.s.id, w.name(), -1, w.usage()
	return f
}

// deliver repeats a last word until a leader has taken it, or it is not wanted any more.
func (w *rank) deliver(kind, subject string, m any) {
	for w.s.ctx.Err() == nil && !errors.Is(context.Cause(w.ctx), errNotLive) {
		a, err := ask[wire.Ack](w.s, kind, subject, m)
		if err == nil && (a.OK || a.Final) {
			return
		}
		w.s.pause(retryPause)
	}
}

// lead makes the clip, as rank 0 does. An error is a failure of this rank.
func (w *rank) lead(a *attempt) error {
	late := time.NewTimer(joinTime)
	defer late.Stop()
	select {
	case <-a.ready:
	case <-w.ctx.Done():
		return nil
	case <-late.C:
		return errAlone
	}

	// Steps that an earlier attempt has a checkpoint of are not made again.
	p := w.order.Plan
	rng := rand.New(rand.NewPCG(p.Spec.Seed, uint64(p.Attempt))) //nolint:gosec // times of steps
	w.progress(job.StageText, 0, 1)
	w.compute(tailTime, rng)
	steps := p.Spec.TotalSteps()
	for step := p.Resume.Step; step < steps && w.ctx.Err() == nil; step++ {
		// It yields once the step is on disk; work that is not would be lost for a clip that can wait.
		if w.yield.Load() && w.savedAt() == step && step > 0 {
			w.deliver(kindFailed, wire.SubjectFail, w.failure(wire.Failure{Yielded: true,
				Reason: "yielded"}))
			w.cancel(errNotLive)
			return nil
		}
		w.progress(job.StageDenoise, step, steps)
		w.compute(w.s.f.cfg.StepTime, rng)
		w.checkpoint(step + 1)
	}
	w.progress(job.StageDenoise, steps, steps)
	a.end() // rank 0 decodes alone
	return w.finish(rng)
}

// compute waits as long as a device would compute, and reports progress meanwhile.
func (w *rank) compute(d time.Duration, rng *rand.Rand) {
	// Up to a fifth more or less, or all clips that began together would report together for ever.
	left := time.Duration(float64(d) * (0.8 + 0.4*rng.Float64()))
	for left > 0 && w.ctx.Err() == nil {
		part := min(left, reportEvery)
		pause(w.ctx, part)
		if left -= part; left > 0 {
			w.report()
		}
	}
}

// progress notes where the rank is, and says so. Heartbeats say the same, in case this is lost.
func (w *rank) progress(stage job.Stage, done, total int) {
	w.mu.Lock()
	w.stage, w.step = stage, done
	w.mu.Unlock()
	w.report()
}

// report says how far the rank is. Nobody acknowledges that.
func (w *rank) report() {
	stage, done := w.at()
	total := max(1, done)
	if stage == job.StageDenoise {
		total = w.order.Plan.Spec.TotalSteps()
	}
	p := job.Progress{Job: w.order.Plan.Job, Attempt: w.order.Plan.Attempt, Stage: stage, Done: done,
		Total: total, ETA: w.s.f.cfg.StepTime}

	m := wire.Encode(wire.Report{Node: w.s.id, Progress: p})
	//nolint:errcheck // as in package shard, the next report makes up for it
	w.s.conn.Publish(wire.Said(wire.SubjectProgress, w.s.identity), m)
	w.s.f.reports.Add(1)
}

// savedAt is the step of the latest checkpoint that was acknowledged, 0 before.
func (w *rank) savedAt() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.saved
}

// checkpoint stores a checkpoint while the next step is computed. One that is due while another is
// under way is left out, but for a rank that is to yield.
func (w *rank) checkpoint(step int) {
	every := w.order.Plan.CheckpointEvery
	if every == 0 || w.s.f.cfg.CheckpointBytes == 0 || step%every != 0 {
		return
	}
	w.mu.Lock()
	busy := w.saving
	w.saving = true
	w.mu.Unlock()
	if busy {
		return
	}

	// What is under way is told by saving alone: there is one checkpoint of a rank at a time.
	save := func() {
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.saving = false
		}()
		w.save(step)
	}
	if w.yield.Load() {
		save()
		return
	}
	w.s.wg.Go(save)
}

// save stores what a step leaves, and a preview now and then.
func (w *rank) save(step int) {
	o, err := w.put(w.s.f.cfg.CheckpointBytes, "step %d", step)
	if err != nil {
		return
	}
	a, err := ask[wire.Ack](w.s, kindSaved, wire.SubjectSaved, wire.Saved{Node: w.s.id,
		Work: w.name(), Checkpoint: job.Checkpoint{Step: step, Object: o}})
	if err != nil || !a.OK {
		return // the next step has another one
	}

	// Previews rest between two, as those of real shards do, whatever the time of a step is.
	w.mu.Lock()
	w.saved = max(w.saved, step)
	show := w.s.f.cfg.PreviewBytes > 0 && time.Since(w.shown) > previewRest
	if show {
		w.shown = time.Now()
	}
	w.mu.Unlock()
	if show {
		ask[wire.Ack](w.s, kindPreview, wire.SubjectPreview, //nolint:errcheck // it is timed
			wire.Preview{Node: w.s.id, Work: w.name(), Step: step, Data: w.s.f.picture})
	}
}

// put stores an object that no other job has.
func (w *rank) put(size int, format string, args ...any) (job.Object, error) {
	// Objects are named by their bytes, so what differs in its first bytes is another object.
	text := fmt.Appendf(nil, "%s %d ", w.order.Plan.Job, w.order.Plan.Attempt)
	text = fmt.Appendf(text, format, args...)
	text = append(text, bytes.Repeat([]byte{'.'}, max(0, size-len(text)))...)
	store, err := w.s.objects(w.ctx)
	if err != nil {
		return job.Object{}, err
	}
	return store.Put(w.ctx, bytes.NewReader(text))
}

// finish decodes and stores the results, and reports completion.
func (w *rank) finish(rng *rand.Rand) error {
	w.progress(job.StageDecode, 0, 1)
	w.compute(tailTime, rng)
	var res job.Result
	for w.ctx.Err() == nil {
		var errs [2]error
		res.Video, errs[0] = w.put(resultBytes, "video")
		res.Latents, errs[1] = w.put(resultBytes, "latents")
		if errors.Join(errs[:]...) == nil {
			break
		}
		w.s.pause(retryPause) // a new leader opens the store in a moment
	}
	if w.ctx.Err() != nil {
		return nil
	}

	// This is the word that must not be lost: it is repeated until a majority has it on disk.
	res.LatentsSHA256, res.ContentType = res.Latents.SHA256, "video/webm"
	res.StepSeconds = w.s.f.cfg.StepTime.Seconds()
	w.deliver(kindComplete, wire.SubjectComplete, wire.Completion{Node: w.s.id, Work: w.name(),
		Result: res, Usage: w.usage()})
	return nil
}

// resultBytes, in bytes, is how large a clip and its latents are here. Real ones are megabytes,
// which load the disk and the network and not what decides.
const resultBytes = 1024
