package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

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
	lost    error // of the last gathering, once that is over
	writer  sync.WaitGroup
	latest  chan snapshot // of one
	tries   chan try      // of one, the latest
	kept    [][]partition.Range
	copies  [][]float32 // of the state that is being gathered
	views   chan sketch // of one, for previews
	shown   int         // step of the last of those
}

// try is how storing the checkpoint of a step went.
type try struct {
	step int
	err  error
}

// state is what a rank has after a step: slabs of tensors over tokens, the first of which is the
// latent and covers the clip, while those that the scheduler keeps may cover a window alone.
type state struct {
	covers []partition.Range // the tokens of each tensor
	slabs  []slab
}

// snapshot is the whole state after a step, in a file that is not used for anything else.
type snapshot struct {
	step  int
	since time.Time // the step's end
	file  *os.File
}

// drop lets go of a snapshot that is of no use any more.
func (s snapshot) drop() {
	s.file.Close()
	os.Remove(s.file.Name())
}

// newSaver starts the writer on rank 0. The caller closes the saver.
func (r *run) newSaver(ctx context.Context) *saver {
	s := &saver{r: r, tr: r.direct, latest: make(chan snapshot, 1), tries: make(chan try, 1),
		views: make(chan sketch, 1)}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.kept = r.layout.Kept()
	if r.Plan.CheckpointEvery > 0 && r.Rank == 0 {
		s.writer.Go(s.write)
		s.writer.Go(func() { s.view(s.publish) })
	}
	return s
}

// save takes the state after `done` steps, which now returns as a copy.
func (s *saver) save(done int, now func() state) {
	every := s.r.Plan.CheckpointEvery
	total := s.r.Plan.Spec.TotalSteps()
	if every == 0 || done%every != 0 && done != total {
		return
	}
	if _, cfg, _ := s.r.layout.Place(s.r.Rank); cfg != 0 {
		return
	}
	since := time.Now()
	s.await()
	st := now()
	s.gathers.Go(func() {
		s.lost = s.gather(done, since, st)
		s.note(s.lost)
	})
}

// clone copies v into memory that the i-th copy of the step before had.
func (s *saver) clone(i int, v []float32) []float32 {
	for len(s.copies) <= i {
		s.copies = append(s.copies, nil)
	}
	s.copies[i] = append(s.copies[i][:0], v...)
	return s.copies[i]
}

// whole is the state of a loop over all that the rank holds.
func (r *run) whole(x []float32, sched diffusion.Scheduler) state {
	var st state
	for i, v := range append([][]float32{x}, sched.State()...) {
		own := r.saver.clone(i, v)
		st.covers = append(st.covers, partition.Range{Hi: r.layout.Tokens()})
		st.slabs = append(st.slabs, slab{r.saver.kept, func(t partition.Range) []float32 {
			at := r.held.Place(t)
			return own[at.Lo:at.Hi]
		}})
	}
	return st
}

// await lets the last gathering finish, which waits for the other ranks.
func (s *saver) await() {
	defer s.r.watch.Waiting()()
	s.gathers.Wait()
}

// close gives up what is under way.
func (s *saver) close() {
	s.stop()
	s.gathers.Wait()
	s.writer.Wait()
	select {
	case snap := <-s.latest:
		snap.drop()
	default:
	}
	select {
	case k := <-s.views:
		k.tensors.Close()
	default:
	}
}

// note tells of an error, which ends nothing.
func (s *saver) note(err error) {
	if err != nil && s.ctx.Err() == nil {
		s.r.host.Warn("cannot save a checkpoint", err)
	}
}

// gather brings the state of all ranks together on rank 0, as the tensors "0" (the latent's tokens
// [tokens, width]), "1" and so on (the scheduler's). The metadata make the object one of this job
// alone.
func (s *saver) gather(done int, since time.Time, st state) error {
	r := s.r
	if r.Rank != 0 {
		return r.gather(s.ctx, s.tr, done, opCheckpoint, st.slabs, nil)
	}
	var f *os.File
	var places map[string]int64
	width, open := r.e.dit.TokenWidth(), func() (err error) {
		if f, err = r.tempFile("checkpoint-*"); err != nil {
			return err
		}
		places, err = safetensors.Blank(f, s.shapes(st), map[string]string{"job": string(r.Plan.Job),
			"step": strconv.Itoa(done), "attempt": fmt.Sprint(r.Plan.Attempt)})
		return err
	}
	failed := open()
	err := r.gather(s.ctx, s.tr, done, opCheckpoint, st.slabs, &sink{
		take: func(i int, t partition.Range, v []float32) error {
			if failed != nil {
				return failed
			}
			at := places[strconv.Itoa(i)] + int64(4*width*(t.Lo-st.covers[i].Lo))
			_, err := f.WriteAt(tensor.Bytes(v), at)
			return err
		}, flush: func(partition.Range) error { return nil }})
	if err != nil {
		if f != nil {
			snapshot{file: f}.drop()
		}
		return err
	}
	select { // only this goroutine sends
	case old := <-s.latest:
		old.drop()
	default:
	}
	s.show(done, f)
	s.latest <- snapshot{done, since, f}
	return nil
}

func (s *saver) shapes(st state) map[string]tensor.Shape {
	out := map[string]tensor.Shape{}
	for i, c := range st.covers {
		out[strconv.Itoa(i)] = tensor.Shape{c.Len(), s.r.e.dit.TokenWidth()}
	}
	return out
}

// write stores snapshots until the saver is closed. It notes once that there is no room.
func (s *saver) write() {
	wasFull := false
	for {
		select {
		case <-s.ctx.Done():
			return
		case snap := <-s.latest:
			err := s.store(snap)
			if full := errors.Is(err, artifact.ErrFull); !full || !wasFull {
				s.note(err)
				wasFull = full
			}
			select { // only this goroutine sends
			case <-s.tries:
			default:
			}
			s.tries <- try{snap.step, err}
		}
	}
}

// store makes a snapshot durable, and drops it. While there is no room, steps go on without.
func (s *saver) store(snap snapshot) error {
	defer snap.drop()
	if s.r.host.StoreFull(false) {
		return artifact.ErrFull
	}
	o, err := s.r.Objects.Put(s.ctx, snap.file)
	if err != nil {
		return err
	}
	return s.r.host.SaveCheckpoint(s.ctx, job.Checkpoint{Step: snap.step, Object: o,
		Seconds: time.Since(snap.since).Seconds()})
}

// durable waits until the state after `done` steps is stored and recorded, and reports whether it
// is; false as well where no checkpoint is made of that step, or it could not be gathered. Only
// rank 0 knows.
func (s *saver) durable(done int) bool {
	every := s.r.Plan.CheckpointEvery
	if every == 0 || done%every != 0 {
		return false
	}
	s.await()
	if s.lost != nil {
		return false // the writer gets nothing to store
	}
	defer s.r.watch.Waiting()()
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

// resume loads the plan's checkpoint into x, the held tokens; restore takes the steps done and what
// the scheduler kept of the own tokens. It returns the steps done. Without a checkpoint it does
// nothing.
func (r *run) resume(ctx context.Context, x []float32,
	restore func(done int, state [][]float32) error) (int, error) {
	c := r.Plan.Resume
	if c.Step == 0 {
		return 0, nil
	}
	return c.Step, r.withFile(func(f *os.File) error {
		err := r.copyTo(ctx, f, c.Object)
		if errors.Is(err, artifact.ErrDamaged) || errors.Is(err, artifact.ErrNotFound) {
			return &DamagedError{err}
		}
		if err != nil {
			return fmt.Errorf("cannot read the checkpoint: %w", err)
		}
		if err := r.load(f.Name(), c.Step, x, restore); err != nil {
			return &DamagedError{err}
		}
		return nil
	})
}

// load takes what is held from a checkpoint's file.
func (r *run) load(path string, step int, x []float32,
	restore func(done int, state [][]float32) error) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	held := r.layout.Held(r.Rank)
	if err := r.rows(f, 0, r.layout.Tokens(), held, x); err != nil {
		return err
	}
	cover := partition.Range{Hi: r.layout.Tokens()}
	if r.layout.Extend && len(f.Names()) > 1 {
		w, _ := r.block(step)
		cover = r.layout.TokensOf(r.layout.Windows(0)[w])
		held = []partition.Range{r.layout.Own(0, r.Rank, w)}
	}
	var kept [][]float32
	for i := 1; i < len(f.Names()); i++ {
		n := 0
		var list []partition.Range
		for _, h := range held {
			list, n = append(list, h.Plus(-cover.Lo)), n+h.Len()
		}
		v := make([]float32, n*r.e.dit.TokenWidth())
		if err := r.rows(f, i, cover.Len(), list, v); err != nil {
			return err
		}
		kept = append(kept, v)
	}
	return restore(step, kept)
}

// rows copies ranges of rows of tensor i, which has that many, to dst.
func (r *run) rows(f *safetensors.File, i, total int, ranges []partition.Range,
	dst []float32) error {
	t, err := f.Tensor(strconv.Itoa(i))
	if err != nil {
		return err
	}
	width := r.e.dit.TokenWidth()
	if !t.Shape.Equal(tensor.Shape{total, width}) || t.DType != tensor.F32 {
		return fmt.Errorf("tensor %d is %v %v, want F32 [%d %d]", i, t.DType, t.Shape, total, width)
	}
	bytes := tensor.Bytes(dst)
	for _, rows := range ranges {
		n := copy(bytes, t.Data[4*width*rows.Lo:4*width*rows.Hi])
		bytes = bytes[n:]
	}
	return nil
}
