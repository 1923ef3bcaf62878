package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/wan"
)

// Residency says which transformers of a model are in memory that has one for the noisy steps and
// one for the rest; or how the text encoder is in a GPU's memory.
type Residency string

// Resident keeps both in memory, Auto where they fit. With Swap one is in memory at a time, and the
// files of the other are read ahead during the last steps before it is needed.
const (
	Auto     Residency = "auto"
	Resident Residency = "resident"
	Swap     Residency = "swap"
)

// ParseResidency reads a residency of experts.
func ParseResidency(name string) (Residency, error) {
	all := []Residency{Auto, Resident, Swap}
	if !slices.Contains(all, Residency(name)) {
		return "", fmt.Errorf("experts is %.40q; allowed: auto, resident, swap", name)
	}
	return Residency(name), nil
}

// Options are what an engine is told beside its model; the zero value is fine.
type Options struct {
	Experts     Residency // of a model with two transformers; "": Auto
	TextEncoder Residency // on a GPU; "": Auto
	// Memory returns how many more bytes the process may take at present, 0 where that is not known;
	// nil: it is never known. Auto goes by it; where it is not known, Auto tries to load both.
	Memory func() int64
	// Log is told where the experts are; nil: nobody is.
	Log *slog.Logger
}

// experts are the transformers of a model, and which of them are in memory.
type experts struct {
	names    []string                    // that steps are computed with: one or two
	boundary float32                     // timesteps from it on are the first one's
	swap     bool                        // one is in memory at a time
	loaded   map[string]*wan.Transformer // by name
	current  string                      // the name of Engine.dit
}

// prepareExperts finds out which transformers the model's steps need.
func (e *Engine) prepareExperts(context.Context) error {
	p := e.folder.Pipeline
	e.experts.loaded = map[string]*wan.Transformer{}
	if e.experts.names = stepExperts(p); p.Boundary == nil {
		return nil
	}

	// torch compares a timestep with a number in float32.
	e.experts.boundary = float32(*p.Boundary * float64(e.sched.TrainTimesteps))
	return nil
}

// stepExperts lists the transformers that steps are computed with. Without a boundary the first one
// computes all of them, whatever else the folder has.
func stepExperts(p model.Pipeline) []string {
	if p.Boundary == nil {
		return []string{model.FirstExpert}
	}
	return p.Experts
}

// expertAt returns the transformer that computes a step of that timestep.
func (e *Engine) expertAt(timestep float32) string {
	if e.folder.Pipeline.Boundary != nil && timestep < e.experts.boundary {
		return model.SecondExpert
	}
	return model.FirstExpert
}

// loadExperts acquires the transformers that are to be resident, and decides which those are.
func (e *Engine) loadExperts(ctx context.Context) error {
	names := e.experts.names
	if err := e.useExpert(ctx, names[0]); err != nil || len(names) == 1 {
		return err
	}

	how, why := e.options.Experts, "as asked for"
	if how == Auto {
		how, why = e.fitting(names[1])
	}
	if e.experts.swap = how == Swap; e.experts.swap {
		e.sayExperts(why)
		return nil
	}

	// Where it is not known how much memory is left, loading shows whether it is enough.
	err := e.loadExpert(ctx, names[1])
	if errors.Is(err, compute.ErrMemory) && e.options.Experts == Auto {
		e.swapExperts(err.Error())
		return nil
	}
	if err == nil {
		e.sayExperts(why)
	}
	return err
}

// fitting decides where a second expert is to be, by the memory that is left, and says why. An
// eighth more than its weights is for clips.
func (e *Engine) fitting(name string) (how Residency, why string) {
	if e.options.Memory == nil || e.pool.Holds(e.key(e.dev.Main, name, e.dtype)) {
		return Resident, "both fit"
	}
	left, need := e.options.Memory(), e.bytesOf(name, e.dtype)
	if left > 0 && need+need/8 > left {
		return Swap, fmt.Sprintf("the second one takes %s, and %s are left", gigabytes(need),
			gigabytes(left))
	}
	return Resident, fmt.Sprintf("both fit, with %s each", gigabytes(need))
}

// sayExperts logs where the experts are, and why.
func (e *Engine) sayExperts(why string) {
	if e.options.Log == nil {
		return
	}
	how := Resident
	if e.experts.swap {
		how = Swap
	}
	e.options.Log.Info("the model has two transformers", "experts", how, "reason", why)
}

// maySwap reports whether a resident expert may make room for a clip.
func (e *Engine) maySwap() bool {
	return e.options.Experts == Auto && len(e.experts.loaded) > 1
}

// swapExperts keeps one expert in memory from here on, the one in use.
func (e *Engine) swapExperts(why string) {
	e.experts.swap = true
	for _, name := range e.experts.names {
		if name != e.experts.current {
			e.dropExpert(name)
		}
	}
	e.collect()
	e.sayExperts(why)
}

// dropExpert gives the weights of an expert back.
func (e *Engine) dropExpert(name string) {
	delete(e.experts.loaded, name)
	e.drop(name)
	if e.experts.current == name {
		e.dit, e.experts.current = nil, ""
	}
}

// collect frees the memory of weights that were dropped before others take it: nothing refers to
// them any more, but the collector would find that out late.
func (e *Engine) collect() {
	runtime.GC() // weights on GPUs are freed by what follows a collection
	runtime.GC()
}

// useExpert makes an expert the one that computes. Where it is not in memory it is loaded, which
// takes as long as at the start; with Swap the other one goes first.
func (e *Engine) useExpert(ctx context.Context, name string) error {
	if e.experts.loaded[name] == nil {
		if e.experts.swap {
			e.swapOut()
		}
		if err := e.loadExpert(ctx, name); err != nil {
			return err
		}
	}
	e.dit, e.experts.current = e.experts.loaded[name], name
	return nil
}

// swapOut drops all experts.
func (e *Engine) swapOut() {
	for _, name := range e.experts.names {
		e.dropExpert(name)
	}
	e.collect()
}

// loadExpert acquires an expert for the main device.
func (e *Engine) loadExpert(ctx context.Context, name string) error {
	dit, err := acquire(ctx, e, e.dev.Main, name, e.dtype,
		func(w *model.Weights) (*wan.Transformer, error) {
			return wan.Load(e.dev.Main, e.folder.Transformer, w, e.dtype)
		})
	if err == nil {
		e.experts.loaded[name] = dit.On(e.dev.Main)
		if e.form == nil { // of all experts; a checkpoint may be reading it
			e.form = e.experts.loaded[name].Form()
		}
	}
	return err
}

// readAheadSteps is how many steps before the switch the files of the other expert are read.
const readAheadSteps = 2

// switchExpert makes the expert of a step the one that the run computes with, and reads the files
// of the other one ahead if a step soon needs it. Each expert has keys and values of texts of its
// own, so they are made again.
func (r *run) switchExpert(ctx context.Context, p diffusion.Pass) error {
	e := r.e
	if name := e.expertAt(p.Timestep); name != e.experts.current {
		defer r.watch.Waiting()() // for the files
		r.freeBlends()
		r.seq.Use(e.form)
		if err := e.useExpert(ctx, name); err != nil {
			return fmt.Errorf("cannot load the %s of timestep %v: %w", name, p.Timestep, err)
		}
	}
	r.seq.Use(e.dit)
	r.readAhead(p)
	return nil
}

// readAhead begins to read the files of the expert that is not in memory, once a step soon needs
// it.
func (r *run) readAhead(p diffusion.Pass) {
	step := p.Step % len(r.timesteps)
	if !r.e.experts.swap || r.reading {
		return
	}
	soon := r.timesteps[step:min(len(r.timesteps), step+1+readAheadSteps)]
	other := r.e.expertAt(soon[len(soon)-1])
	if other == r.e.experts.current {
		return
	}
	r.reading = true // once: what is read stays in the page cache, or does not fit
	r.background.Go(func() { r.e.folder.ReadAhead(r.backgroundCtx, other) })
}

// checkExperts refuses a clip of which a step needs a transformer that the model's folder lacks.
func (r *run) checkExperts() error {
	for i, t := range r.timesteps {
		if name := r.e.expertAt(t); !slices.Contains(r.e.experts.names, name) {
			return &MissingExpertError{Name: name, Step: i + 1, Timestep: t}
		}
	}
	return nil
}

// MissingExpertError says that a step needs a transformer that the model's folder does not have.
type MissingExpertError struct {
	Name     string // the folder that is missing
	Step     int    // from 1
	Timestep float32
}

// Error implements error.
func (e *MissingExpertError) Error() string {
	return fmt.Sprintf("step %d, of timestep %v, needs the %s that the model's folder lacks; other "+
		"steps or another flow_shift may do without", e.Step, e.Timestep, e.Name)
}

// scale is the diffusion.Denoiser's Scale for a model whose experts have scales of their own.
func (r *run) scale(p diffusion.Pass) float32 {
	if r.e.expertAt(p.Timestep) == model.SecondExpert {
		return float32(r.Plan.Spec.GuidanceScale2)
	}
	return float32(r.Plan.Spec.GuidanceScale)
}

// gigabytes writes bytes for people.
func gigabytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }
