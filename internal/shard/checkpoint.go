package shard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// DamagedError says that a checkpoint cannot be read: the job has to begin anew.
type DamagedError struct{ Err error }

// Error implements error.
func (e *DamagedError) Error() string { return "the checkpoint cannot be used: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// saver writes checkpoints beside the computation: the ranks of the first branch send what they
// hold to rank 0, which stores it. A step boundary waits for the gathering before it, never for the
// store: where that is slow, or away, the latest checkpoint takes the place of those that wait.
type saver struct {
	r       *run
	tr      collective.Transport // whose waiting is not the computation's
	ctx     context.Context
	stop    context.CancelFunc
	gathers sync.WaitGroup
	writer  sync.WaitGroup
	latest  chan snapshot // of one
	tries   chan try      // of one, the latest
	views   chan snapshot // of one, for previews
	shown   int           // step of the last of those
}

// try is how storing the checkpoint of a step went.
type try struct {
	step int
	err  error
}

// snapshot is the whole state after a step: the latent's tokens [tokens, width], then what the
// scheduler keeps of them.
type snapshot struct {
	step  int
	whole [][]float32
}

// newSaver starts the writer on rank 0. The caller closes the saver.
func (r *run) newSaver(ctx context.Context) *saver {
	s := &saver{r: r, tr: r.Transport, latest: make(chan snapshot, 1), tries: make(chan try, 1),
		views: make(chan snapshot, 1)}
	if w, ok := s.tr.(watched); ok {
		s.tr = w.Transport
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	if r.Plan.CheckpointEvery > 0 && r.Rank.Rank == 0 {
		s.writer.Go(s.write)
		s.writer.Go(s.view)
	}
	return s
}

// save takes the state after `done` steps: the own tokens x, and what the scheduler keeps of them.
func (s *saver) save(done int, x []float32, sched diffusion.Scheduler) {
	every := s.r.Plan.CheckpointEvery
	total := s.r.Plan.Spec.Steps
	if every == 0 || done%every != 0 && done != total || s.r.Rank.Rank >= s.r.Plan.Mesh.Ulysses {
		return
	}
	parts := [][]float32{slices.Clone(x)}
	for _, p := range sched.State() {
		parts = append(parts, slices.Clone(p))
	}
	s.await()
	s.gathers.Go(func() { s.note(s.gather(done, parts)) })
}

// await lets the last gathering finish, which waits for the other ranks.
func (s *saver) await() {
	if w, ok := s.r.Transport.(watched); ok {
		defer w.a.waits()()
	}
	s.gathers.Wait()
}

// close gives up what is under way.
func (s *saver) close() {
	s.stop()
	s.gathers.Wait()
	s.writer.Wait()
}

// note tells of an error, which ends nothing.
func (s *saver) note(err error) {
	if err != nil && s.ctx.Err() == nil && s.r.Note != nil {
		s.r.Note("cannot save a checkpoint", err)
	}
}

// gather brings the parts of all ranks together on rank 0.
func (s *saver) gather(done int, parts [][]float32) error {
	r := s.r
	tag := collective.Tag{Step: uint32(done), Op: opCheckpoint} //nolint:gosec // steps are few
	if r.Rank.Rank != 0 {
		return s.tr.Send(s.ctx, 0, tag, tensor.Bytes(slices.Concat(parts...)))
	}
	width := r.e.dit.TokenWidth()
	snap := snapshot{step: done, whole: make([][]float32, len(parts))}
	for i, p := range parts {
		snap.whole[i] = make([]float32, r.grid.Tokens()*width)
		copy(snap.whole[i], p)
	}
	ranges := partition.Even(r.grid.Tokens(), r.Plan.Mesh.Ulysses)
	for peer := 1; peer < len(ranges); peer++ {
		b, err := s.tr.Recv(s.ctx, peer, tag)
		if err != nil {
			return err
		}
		n := ranges[peer].Len() * width
		if len(b) != 4*n*len(parts) {
			return r.badMessage(peer, "a checkpoint", len(b))
		}
		for i, v := range tensor.Floats(b) {
			snap.whole[i/n][ranges[peer].Lo*width+i%n] = v
		}
	}
	select { // only this goroutine sends
	case <-s.latest:
	default:
	}
	s.latest <- snap
	s.show(snap)
	return nil
}

// write stores snapshots until the saver is closed.
func (s *saver) write() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case snap := <-s.latest:
			o, err := s.store(snap)
			if err == nil {
				err = s.r.Saved(s.ctx, job.Checkpoint{Step: snap.step, Object: o})
			}
			s.note(err)
			select { // only this goroutine sends
			case <-s.tries:
			default:
			}
			s.tries <- try{snap.step, err}
		}
	}
}

// durable waits until the state after `done` steps is stored and recorded, and reports whether it
// is; false as well where no checkpoint is made of that step. Only rank 0 knows.
func (s *saver) durable(done int) bool {
	every := s.r.Plan.CheckpointEvery
	if every == 0 || done%every != 0 {
		return false
	}
	s.await()
	if w, ok := s.r.Transport.(watched); ok {
		defer w.a.waits()()
	}
	for {
		select {
		case <-s.ctx.Done():
			return false
		case t := <-s.tries:
			if t.step >= done {
				return t.err == nil
			}
		}
	}
}

// store writes the tensors "0" (the latent's tokens), "1" and so on (the scheduler's). The metadata
// make the object one of this job alone.
func (s *saver) store(snap snapshot) (o job.Object, err error) {
	width := s.r.e.dit.TokenWidth()
	tensors := map[string]tensor.Tensor{}
	for i, v := range snap.whole {
		tensors[strconv.Itoa(i)] = tensor.FromFloat32(v, len(v)/width, width)
	}
	meta := map[string]string{"job": string(s.r.Plan.Job), "step": strconv.Itoa(snap.step),
		"attempt": fmt.Sprint(s.r.Plan.Attempt)}
	err = s.r.withFile(func(f *os.File) error {
		if err := safetensors.Write(f, tensors, meta); err != nil {
			return err
		}
		o, err = s.r.Objects.Put(s.ctx, f)
		return err
	})
	return o, err
}

// resume loads the plan's checkpoint into x, the own tokens, and the scheduler; it returns the
// steps done. Without a checkpoint it does nothing.
func (r *run) resume(ctx context.Context, x []float32, sched diffusion.Scheduler) (int, error) {
	c := r.Plan.Resume
	if c.Step == 0 {
		return 0, nil
	}
	data, err := r.fetch(ctx, c.Object)
	if errors.Is(err, artifact.ErrDamaged) || errors.Is(err, artifact.ErrNotFound) {
		return 0, &DamagedError{err}
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the checkpoint: %w", err)
	}
	if err := r.load(data, c.Step, x, sched); err != nil {
		return 0, &DamagedError{err}
	}
	return c.Step, nil
}

// load takes a checkpoint's bytes.
func (r *run) load(data []byte, step int, x []float32, sched diffusion.Scheduler) error {
	f, err := safetensors.Parse(data)
	if err != nil {
		return err
	}
	var parts [][]float32
	width := r.e.dit.TokenWidth()
	for i := range len(f.Names()) {
		t, err := f.Tensor(strconv.Itoa(i))
		if err != nil {
			return err
		}
		v, err := t.Float32()
		if err != nil {
			return err
		}
		if len(v) != r.grid.Tokens()*width {
			return fmt.Errorf("tensor %d has %d values, want %d", i, len(v), r.grid.Tokens()*width)
		}
		parts = append(parts, v[r.seq.Own().Lo*width:r.seq.Own().Hi*width])
	}
	if len(parts) == 0 {
		return errors.New("it is empty")
	}
	copy(x, parts[0])
	return sched.Restore(step, len(x), parts[1:])
}
