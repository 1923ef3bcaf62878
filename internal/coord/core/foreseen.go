package core

import (
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/sched"
)

// Each request asks where its job would run if the shards had nothing else to do. Of a thousand
// shards that takes about a millisecond, and the answer is the same for all clips of a kind until
// the shards change. So it is remembered.

// foreseen is where jobs would run on idle shards, by the kinds of their clips, as of some models.
// Of nodes and drains see schedulerNodes, which forgets it.
type foreseen struct {
	places map[string]placement
	models job.Models
}

// foreseenMost bounds the kinds that are remembered. Beyond that all are forgotten.
const foreseenMost = 256

// placing returns where a job would run if the shards had nothing else to do.
func (l *leader) placing(m job.Model, s job.Spec) placement {
	kind := plan.Kind(s)
	if kind == "" || l.shown.deciding {
		return l.placingAnew(m, s)
	}

	// This takes in what has changed of nodes, which may come to be all of them.
	l.schedulerNodes()
	f, models := &l.shown.foreseen, l.c.machine.Models()
	if f.places == nil || !sameModels(f.models, models) || len(f.places) >= foreseenMost {
		*f = foreseen{map[string]placement{}, models}
	}

	p, known := f.places[kind]
	if !known {
		p = l.placingAnew(m, s)
		f.places[kind] = p
	}
	return p
}

// sameModels reports whether two lists of models are one: lists are replaced, never written to.
func sameModels(a, b job.Models) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// idleAlike reports whether a node with nothing to do is the same to a job as before.
func idleAlike(a, b *sched.Node) bool {
	return a.Speed == b.Speed && a.Rated == b.Rated && a.Rates == b.Rates && a.Delays == b.Delays &&
		a.Memory == b.Memory &&
		slices.Equal(a.Models, b.Models) && slices.Equal(a.LoRAs, b.LoRAs) &&
		slices.Equal(a.Formats, b.Formats) && slices.Equal(a.DTypes, b.DTypes)
}
