package core

import (
	"math"
	"slices"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// In a locked cluster what the processes of an identity may do with objects follows from the jobs:
// from what was decided, and from nothing that a process says of itself. So these functions read
// the machine alone. They are called while nodes wait for an answer, but not for each chunk: a desk
// remembers for a moment what they returned.

// Grant returns what the nodes that are one process's may do with stored objects: store some while
// a live attempt has a rank on one of them, and read those of such attempts' jobs. It follows from
// what was decided alone, so a new leader knows it at once. owned tells which nodes are the
// process's; ErrNotLeader where a decision may be missing here.
func (c *Core) Grant(owned func(job.NodeID) bool) (artifact.Grant, error) {
	g := artifact.Grant{Objects: map[string]job.Object{}, Texts: map[string]string{}}
	if !c.Leads() {
		return g, ErrNotLeader
	}

	// Nodes of a job that is not running have nothing to read or to write any more, whatever they
	// still compute.
	for _, j := range c.machine.state.index.live {
		r := j.r
		if r.State != job.Running {
			continue
		}
		for _, n := range r.Plan.Nodes {
			if owned(n) {
				grantJob(&g, r)
				g.BytesMax += c.storedMost(r)
				break
			}
		}
	}
	return g, nil
}

// storedMost bounds the objects of a job to which it does not refer yet. What a job is expected to
// take is an estimate, so it gets several times that.
func (c *Core) storedMost(r *job.Record) int64 {
	f := c.footprint(r.Spec)
	if f.Most <= 0 {
		return math.MaxInt32 // of a model that is no longer served
	}
	return grantTimes*f.Most + grantSpare
}

// grantTimes and grantSpare say how wrong the expectation may be: clips of noise take more bytes
// than others, and small files have headers, too. A node that stores without end is stopped all the
// same before it has filled a disk.
const grantTimes, grantSpare = 4, 64 << 20

// Unreferenced returns those names of objects to which no job refers, and that are not in the
// trash.
func (c *Core) Unreferenced(names []string) (out []string) {
	for _, o := range c.machine.unknown(names) {
		out = append(out, o.Name)
	}
	return out
}

// Foreign reports whether the object of a name is one of other jobs', and none of the job's own.
// It looks through all jobs, which may be thousands, so callers ask it last.
func (c *Core) Foreign(id job.ID, name string) bool {
	if r, ok := c.machine.Record(id); ok && refers(&r, name) {
		return false
	}
	for other := range c.machine.state.jobs {
		if refers(c.machine.state.jobs[other], name) {
			return true
		}
	}
	return false
}

// refers reports whether a job refers to the object of a name.
func refers(r *job.Record, name string) bool {
	switch name {
	case r.Result.Video.Name, r.Result.Latents.Name, r.Checkpoint.Object.Name, r.Before.Object.Name:
		return true
	}
	for _, o := range r.Parts {
		if o.Name == name {
			return true
		}
	}
	return slices.ContainsFunc(r.Spec.Inputs, func(in job.Input) bool {
		return in.Object.Name == name
	})
}

// grantJob adds what the ranks of a job may do. A rank that starts late reads the checkpoint of its
// plan, though the job may have a newer one.
func grantJob(g *artifact.Grant, r *job.Record) {
	g.Jobs = append(g.Jobs, r.ID)
	all := append(objects(r), r.Checkpoint.Object, r.Before.Object, r.Plan.Resume.Object)

	for _, o := range r.Parts {
		all = append(all, o)
	}
	for _, o := range all {
		if o.Name != "" {
			g.Objects[o.Name] = o
		}
	}

	texts := []string{r.Spec.Prompt, r.Spec.NegativePrompt}
	for _, s := range r.Spec.Scenes {
		texts = append(texts, s.Prompt)
	}
	for _, t := range texts {
		// A process that works for two owners on the same text knows it of both.
		sum := artifact.TextSum(t)
		if owner, ok := g.Texts[sum]; !ok || r.Owner < owner {
			g.Texts[sum] = r.Owner
		}
	}
}
