package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

const (
	peerCheck   = 500 * time.Millisecond // how often a rank looks for its peers
	peerTimeout = 2 * time.Second        // after which a silent peer fails the rank
	wordPause   = 400 * time.Millisecond // before a last word is repeated
	peerPause   = 100 * time.Millisecond // before a rank looks again for those that it waits for
)

// work is a rank of an attempt in the process of a node. Rank 0 drives the attempt: a step is done
// when all ranks are there for it. The clip itself is modelled by one number, the latent, which
// depends on the seed and on every step, so that a step too many or too few shows in the result.
type work struct {
	n    *node
	id   job.NodeID // of the process, which may have ended
	plan job.Plan
	rank int

	stage  job.Stage
	step   int       // steps that are done
	latent uint64    // what the clip has become so far, on rank 0
	since  time.Time // of the latest advance
	began  time.Time // when the order was accepted
	ended  time.Time // when it computed no more; zero: it does

	cancel bool // it is to stop and to confirm that it was cancelled
	yield  bool // it is to stop at a step boundary whose checkpoint is durable
	saved  int  // the step of the latest checkpoint that a leader has acknowledged

	over     bool        // it computes no more
	word     any         // the message with which it ends, until that is acknowledged
	missing  []time.Time // since when each rank is silent; zero: it is not
	watching bool        // it looks for its peers

	times Times // of a Setup, once they were asked for
	diary
}

// wire returns the rank as messages name it.
func (k *work) wire() wire.Work {
	return wire.Work{Job: k.plan.Job, Attempt: k.plan.Attempt, Rank: k.rank}
}

// is reports whether the rank is of this attempt.
func (k *work) is(id job.ID, a job.Attempt) bool { return k.plan.Job == id && k.plan.Attempt == a }

// here reports whether the process and the rank in it still exist.
func (k *work) here() bool { return k.n.alive(k.id) && k.n.work == k }

// later runs f in the process after d. If it is frozen then, f runs when it thaws; if the rank is
// gone, f does not run.
func (k *work) later(d time.Duration, f func()) {
	k.n.w.after(d, func() {
		switch {
		case !k.here():
		case k.n.frozen:
			k.later(100*time.Millisecond, f)
		default:
			f()
		}
	})
}

// stop ends the rank at once, without a word. One whose device hangs stays where it is.
func (k *work) stop() {
	k.over, k.word = true, nil
	n := k.n
	n.loading = ""

	switch here := k.here(); {
	case !n.hung:
		if here {
			n.w.check.ledger.over(k)
		}
		n.work = nil
		n.changed()
		n.stir()
		k.disturb()
	case here && n.w.day != nil: // a process whose device does not return ends itself
		n.die()
		n.w.after(n.w.restart(), n.boot)
	}
}

// load brings the rank to where the attempt begins: finished latents, a checkpoint, or noise.
func (k *work) load() {
	if !k.here() || k.over {
		return
	}
	if o, ok := k.plan.Parts[job.PartLatents]; ok && k.kept(o) {
		return
	}

	k.step, k.latent = k.plan.Resume.Step, begin(k.plan.Spec.Seed)
	if k.step > 0 && !k.n.w.is("an attempt forgets what it resumed from") {
		if err := k.resume(); err != nil {
			damaged := !errors.Is(err, errAway)
			k.fail(wire.Failure{Peer: -1, Damaged: damaged, Reason: err.Error()})
			return
		}
	}

	k.stage, k.since = job.StageDenoise, k.n.w.now
	k.denoises()
	if k.rank == 0 {
		k.report()
		k.boundary(0)
	}
}

// kept goes straight to decoding if an earlier attempt has left finished latents, and reports
// whether it did. Rank 0 decodes alone; the others have nothing to do. Latents that cannot be read
// cost the time to compute them again, no more.
func (k *work) kept(o job.Object) bool {
	if k.rank != 0 {
		good := k.n.w.store.good(o)
		if good && k.rank < k.n.w.pace.decoders(k) {
			k.stage = job.StageDecode
		} else if good {
			k.stop()
		}
		return good
	}

	r, err := k.n.w.store.Get(context.Background(), o)
	switch {
	case errors.Is(err, errAway):
		k.fail(wire.Failure{Peer: -1, Reason: err.Error()})
		return true
	case err != nil:
		return false
	}

	data, err := io.ReadAll(r)
	if _, serr := fmt.Sscanf(string(data), "latents %d", &k.latent); err != nil || serr != nil {
		return false
	}
	k.n.w.stats.Kept++
	k.finishing()
	return true
}

// resume reads the checkpoint of the plan. One that is of another job or step is as bad as a
// damaged one.
func (k *work) resume() error {
	r, err := k.n.w.store.Get(context.Background(), k.plan.Resume.Object)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	var id string
	var step int
	_, err = fmt.Sscanf(string(data), "ckpt %s %d %d", &id, &step, &k.latent)
	if err != nil || id != string(k.plan.Job) || step != k.step {
		return fmt.Errorf("it says %q: %w", data, artifact.ErrDamaged)
	}
	return nil
}

// advance does a step if all ranks are there, and looks again in a moment if not. Ranks exchange
// activations in every layer, so none of them can be ahead of the others.
func (k *work) advance() {
	w := k.n.w
	if k.over {
		return
	}
	ranks, ok := k.at(job.StageDenoise, len(k.plan.Nodes))
	if !ok {
		k.later(peerPause, k.advance)
		return
	}

	if w.chance(0.003) {
		k.fail(wire.Failure{Peer: -1, Reason: "no space left on device"})
		return
	}

	for _, other := range ranks {
		other.step++
		other.since = w.now
	}
	k.latent = next(k.latent)
	k.stepDone()
	k.report()
	if every := k.plan.CheckpointEvery; k.step%every == 0 || k.step == k.plan.Spec.TotalSteps() {
		k.save(k.step)
	}
	k.later(w.pace.pause(), func() { k.boundary(time.Second) })
}

// boundary is the moment between two steps, where a rank looks at what was asked of it. patience is
// how long one that is to yield waits for its checkpoint to become durable before it computes on.
func (k *work) boundary(patience time.Duration) {
	switch {
	case k.over:
	case k.cancel:
		k.fail(wire.Failure{Peer: -1, Cancelled: true, Reason: "cancelled"})
	case k.step == k.plan.Spec.TotalSteps():
		k.decode()
	case k.yield && k.saved == k.step:
		k.n.w.stats.Yields++
		k.fail(wire.Failure{Peer: -1, Yielded: true, Reason: "yielded"})
	case k.yield && patience > 0:
		k.later(20*time.Millisecond, func() { k.boundary(patience - 20*time.Millisecond) })
	default:
		k.later(k.n.w.pace.step(k), k.advance)
	}
}

// report tells the leader how far the attempt is.
func (k *work) report() {
	p := job.Progress{Job: k.plan.Job, Attempt: k.plan.Attempt, Stage: k.stage, Done: k.step,
		Total: k.plan.Spec.TotalSteps()}
	if n := k.n.w.pace.decoders(k); n > 1 && k.stage == job.StageDecode {
		p.Ranks = n
	}
	k.n.tell(wire.Report{Node: k.id, Progress: p}, nil)
}

// save stores a checkpoint of the present latent while the next step is computed. It is durable
// when a leader has acknowledged it.
func (k *work) save(step int) {
	latent := k.latent
	k.later(k.n.w.pace.save(), func() {
		o, err := k.put("ckpt %s %d %d", k.plan.Job, step, latent)
		if err != nil {
			return
		}
		k.n.tell(wire.Saved{Node: k.id, Work: k.wire(),
			Checkpoint: job.Checkpoint{Step: step, Object: o}}, func(a any) {
			if ack, ok := a.(wire.Ack); ok && ack.OK {
				k.saved = max(k.saved, step)
			}
		})
	})
}

// decode releases the ranks that do not decode, keeps the latents for later attempts, and finishes
// the clip.
func (k *work) decode() {
	ranks, ok := k.at(job.StageDenoise, len(k.plan.Nodes))
	if !ok {
		k.later(peerPause, k.decode)
		return
	}

	for _, other := range ranks {
		switch {
		case other == k:
		case other.rank < k.n.w.pace.decoders(k):
			other.stage = job.StageDecode
		default:
			other.stop()
		}
	}
	if o, err := k.put("latents %d", k.latent); err == nil {
		k.n.tell(wire.Kept{Node: k.id, Work: k.wire(),
			Name: job.PartLatents, Object: o}, nil)
	}
	k.finishing()
}

// finishing decodes the latent.
func (k *work) finishing() {
	k.stage, k.step = job.StageDecode, 0
	k.decodes()
	k.report()
	k.later(k.n.w.pace.decode(k), k.decoded)
}

// decoded lets the other ranks go that have decoded, once all of them have, and encodes the clip.
func (k *work) decoded() {
	if k.over {
		return
	}
	if n := k.n.w.pace.decoders(k); n > 1 || k.n.w.day != nil {
		ranks, ok := k.at(job.StageDecode, n)
		if !ok {
			k.later(peerPause, k.decoded)
			return
		}
		for _, o := range ranks[1:] {
			o.stop()
		}
	}

	k.encodes()
	if took := k.n.w.pace.encode(k); took > 0 {
		k.later(took, k.finish)
		return
	}
	k.finish()
}

// finish stores the results and reports completion.
func (k *work) finish() {
	if k.over {
		return
	}
	var res job.Result
	var errs [2]error
	res.Video, errs[0] = k.put("video %d", k.latent)
	res.Latents, errs[1] = k.put("latents %d", k.latent)
	if err := errors.Join(errs[:]...); err != nil {
		k.fail(wire.Failure{Peer: -1, Reason: err.Error()})
		return
	}
	k.ended = k.n.w.now
	res.LatentsSHA256, res.ContentType = fmt.Sprint(k.latent), "video/webm"
	k.say(wire.Completion{Node: k.id, Work: k.wire(), Result: res, Usage: k.usage()})
}

// put stores a formatted line as an object.
func (k *work) put(format string, args ...any) (job.Object, error) {
	return k.n.w.store.Put(context.Background(), bytes.NewReader(fmt.Appendf(nil, format, args...)))
}

// fail ends the rank and reports why.
func (k *work) fail(f wire.Failure) {
	k.ended = k.n.w.now
	f.Node, f.Work, f.Usage = k.id, k.wire(), k.usage()
	k.n.w.log("%s fails %s attempt %d rank %d: %s", k.id, f.Job, f.Attempt, k.rank, f.Reason)
	k.say(f)
}

// say ends the computation with a last message to the leader.
func (k *work) say(word any) {
	k.over, k.word = true, word
	k.disturb()
	k.n.wake()
	k.repeat()
}

// repeat sends the last message until a leader has acknowledged it, or refused it for good.
func (k *work) repeat() {
	if k.word == nil || !k.here() {
		return
	}
	k.n.tell(k.word, func(a any) {
		if ack, ok := a.(wire.Ack); ok && (ack.OK || ack.Final) && k.here() {
			k.stop()
		}
	})
	k.later(wordPause, k.repeat)
}

// begin stands for the noise of a seed.
func begin(seed uint64) uint64 { return next(seed) }

// next stands for a denoising step: the mixing function of SplitMix64 (Steele, Lea and Flood,
// 2014), so that every step changes the whole number.
func next(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

// finished is the latent that a clip has to become.
func finished(s job.Spec) uint64 {
	v := begin(s.Seed)
	for range s.TotalSteps() {
		v = next(v)
	}
	return v
}
