package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// models are what shards serve: small enough that a clip has few tokens, with 6 heads so that
// meshes of up to 6 ranks, and uneven ones, come up.
func models(n int) (all job.Models) {
	for i := range n {
		all = append(all, job.Model{Name: fmt.Sprint("sim", i), Fingerprint: fmt.Sprint("f", i),
			Heads: 6, HeadDim: 32, Layers: 8 + i, Patch: [3]int{1, 2, 2}, LatentChannels: 16,
			TemporalScale: 4, SpatialScale: 8, Defaults: job.Defaults{Width: 96, Height: 64, Frames: 33,
				Steps: 4, FPS: 16, GuidanceScale: 4, FlowShift: 3, Scheduler: "unipc"}})
	}
	return all
}

// shareModels gives each model to one node at least, and to each node some.
func (w *world) shareModels() {
	for i, n := range w.nodes {
		n.models = job.Models{w.models[i%len(w.models)]}
		n.room = 1 + w.rng.IntN(2)
	}
	for _, m := range w.models {
		for i, n := range w.nodes {
			_, has := n.models.Named(m.Name)
			if !has && (i == 0 || w.rng.IntN(3) == 0) {
				n.models = append(n.models, m)
			}
		}
	}
}

// onDisk reports whether the machine of a process has a model.
func (w *world) onDisk(id job.NodeID, model string) bool {
	n := w.machine(id)
	if n == nil {
		return false
	}
	_, has := n.models.Named(model)
	return has
}

// machine returns the machine of a process, which may have ended; nil: there is no such one.
func (w *world) machine(id job.NodeID) *node {
	if n := w.byID[id]; n != nil {
		return n
	}
	at := strings.LastIndex(string(id), "-")
	for _, n := range w.nodes {
		if at >= 0 && n.name == string(id[:at]) {
			return n
		}
	}
	return nil
}

// count returns how many machines have a model.
func (w *world) count(model string) (n int) {
	for _, o := range w.nodes {
		if _, has := o.models.Named(model); has {
			n++
		}
	}
	return n
}

// shelf is what a process has loaded of its machine's models.
type shelf struct {
	loaded   []string // the latest first
	loading  string   // "": none is
	loadTime time.Duration
}

// use makes a model the latest of those that are ready, and reports whether it is one.
func (s *shelf) use(model string) bool {
	i := slices.Index(s.loaded, model)
	if i < 0 {
		return false
	}
	s.loaded = slices.Insert(slices.Delete(s.loaded, i, i+1), 0, model)
	return true
}

// loadModel has the model of the plan ready before the rank begins. Where another one takes its
// room, that goes first: the one that was used longest ago.
func (k *work) loadModel() {
	n, model := k.n, k.plan.Spec.Model
	if _, has := n.models.Named(model); !has {
		n.w.violated("wrong model", "%s is to run %s of %s", k.id, k.plan.Job, model)
	}
	if n.use(model) {
		k.encode()
		return
	}

	n.w.stats.Loads++
	n.loaded = n.loaded[:min(len(n.loaded), n.room-1)]
	n.loading = model
	k.stage = job.StageLoad
	took := n.w.pace.load(k)
	k.later(took, func() {
		n.loading, n.loadTime = "", took
		n.loaded = slices.Insert(n.loaded, 0, model)
		n.stir()
		k.encode()
	})
}

// encode makes embeddings of the prompts, if that takes time.
func (k *work) encode() {
	if took := k.n.w.pace.text(k); took > 0 {
		k.later(took, k.load)
		return
	}
	k.load()
}
