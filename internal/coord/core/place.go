package core

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
)

// place commits the plan of a decision and orders its nodes to start. nodes are those of the view
// that was decided on. On an error nothing has started; the error is that of the commit.
func (l *leader) place(d sched.Decision, nodes map[job.NodeID]*node) error {
	r := d.Job
	plan := job.Plan{Job: r.ID, Attempt: r.Attempt + 1, Spec: r.Spec, Mesh: d.Mesh,
		Resume: r.Checkpoint, CheckpointEvery: l.c.cfg.CheckpointEvery,
		PreviewEvery: l.c.cfg.PreviewEvery, Shares: d.Shares}

	var names []string
	var picked []*node
	for _, n := range d.Nodes {
		plan.Nodes = append(plan.Nodes, n.ID)
		names = append(names, n.Name)
		picked = append(picked, nodes[n.ID])
	}
	plan.Where, plan.Predicted = where(d.Mesh, names), d.Predicted
	if d.Where != "" {
		plan.Where = fmt.Sprintf("%s (%s)", d.Where, d.Mesh)
	}
	cmd := command{Kind: kindPlace, Job: r.ID, Plan: &plan}
	if l.c.machine.Version() >= ownersSince {
		cmd.Charge = chargeOf(d)
	}
	if _, err := l.c.commit(cmd); err != nil {
		return err
	}

	l.began[r.ID] = beginning{plan.Attempt, l.c.cfg.Clock()}
	l.c.observer.JobPlaced(max(0, l.today().Sub(r.Created)))
	l.c.log.Info("job placed", "job", r.ID, "attempt", plan.Attempt, "mesh", d.Mesh.String(),
		"nodes", names, "shares", percents(plan.Shares), "predicted", d.Predicted)

	// What earlier attempts have finished is in the job's record, not in the plan that was committed.
	plan.Parts = r.Parts
	l.startRanks(plan, picked, l.newKey())
	return nil
}

// where says on which nodes a job is, and how they are arranged, in at most job.WhereLimit bytes:
// it is kept with each of a job's losses.
func where(mesh job.Mesh, names []string) string {
	end := fmt.Sprintf(" (%s)", mesh)
	text := ""
	for i, n := range names {
		more := fmt.Sprintf(" and %d more", len(names)-i)
		next := strings.ToValidUTF8(n, "?")
		if i > 0 {
			next = ", " + next
		}
		if len(text)+len(next)+len(more)+len(end) > job.WhereLimit {
			return text + more + end
		}
		text += next
	}
	return text + end
}

// percents writes the parts that window groups have of all windows, for the log.
func percents(shares []float64) []string {
	if len(shares) == 0 {
		return []string{"even"}
	}
	sum := 0.
	for _, s := range shares {
		sum += s
	}
	var out []string
	for _, s := range shares {
		out = append(out, fmt.Sprintf("%.0f%%", 100*s/sum))
	}
	return out
}
