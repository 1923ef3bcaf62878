package coord

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// pool is what the scheduler may use: nodes that do nothing.
type pool struct {
	free  []*node // idle and in no live plan, by name
	total int     // registered
	all   []*node
	room  int64 // bytes that jobs may still store
}

// idle returns the pool of the moment.
func (l *leader) idle() pool {
	taken := map[job.NodeID]bool{}
	for _, r := range l.c.fsm.all(running) {
		for _, id := range r.Plan.Nodes {
			taken[id] = true
		}
	}
	drains := l.c.fsm.drains()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := pool{}
	for _, n := range l.sorted() {
		if _, out := drains[n.reg.Node]; out {
			continue
		}
		seen := *n
		p.all = append(p.all, &seen)
		if n.beat.State == wire.Idle && !taken[n.reg.Node] {
			p.free = append(p.free, &seen)
		}
	}
	p.total, p.room = len(p.all), l.c.left()
	return p
}

// schedule places queued jobs on idle nodes: those of the highest priority first, of equal ones in
// the order of their creation. A job that wants more shards than are registered lets others pass;
// one that waits for busy nodes does not, so that it gets its turn, and if it is the more urgent
// one it takes the shards of running jobs at their next step boundary, or where that is far, in the
// middle of a step. It runs on the coordinator's own goroutine only.
func (l *leader) schedule() {
	if !l.settled() {
		return
	}
	p := l.idle()
	reasons, preempted := map[job.ID]string{}, map[job.ID]string{}
	blocked := false
	for _, r := range byPriority(l.c.fsm.all(queued)) {
		why, block := l.hindrance(r, p)
		switch {
		case why == "" && blocked:
			reasons[r.ID] = "waits for its turn"
		case why != "":
			reasons[r.ID] = why
			if block && !blocked && len(preempted) == 0 {
				for _, v := range l.victims(r, p) {
					preempted[v.ID] = fmt.Sprintf("job %s of priority %d takes its shards", r.ID,
						r.Spec.Priority)
				}
			}
			blocked = blocked || block
		default:
			if err := l.place(r, &p); err != nil {
				l.c.log.Warn("cannot place a job", "job", r.ID, "error", err)
				reasons[r.ID], blocked = "waits: "+err.Error(), true
			} else {
				p.room -= l.c.needs(r)
			}
		}
	}
	l.setWaiting(reasons)
	l.ask(l.yields(p, preempted, !blocked))
	l.overdue(preempted)
}

// byPriority sorts the highest first and keeps the order of equal ones.
func byPriority(all []job.Record) []job.Record {
	slices.SortStableFunc(all, func(a, b job.Record) int { return b.Spec.Priority - a.Spec.Priority })
	return all
}

// hindrance says why a job cannot run now, "" if it can; block: those behind it must wait too.
func (l *leader) hindrance(r job.Record, p pool) (why string, block bool) {
	s, want := r.Spec, wanted(r)
	st, fullness := l.c.space.state()
	writer := func(n *node) bool { return n.writes(s.Format) }
	switch {
	case p.works(r.ID) && l.sinceLoss(r) < l.c.cfg.Timing.LostAfter:
		return fmt.Sprintf("waits for the shards of attempt %d to stop", r.Attempt), true
	case l.sinceLoss(r) < l.breath(r):
		return fmt.Sprintf("waits a moment, since attempt %d was lost at once", r.Attempt), false
	case l.c.objects.Load() == nil:
		return "waits for the object store", true
	case st > roomy:
		return "waits for room: " + fullness, true
	case l.c.needs(r) > p.room:
		return fmt.Sprintf("waits for room: it takes about %s more of the object store, and %s are left",
			size(l.c.needs(r)), size(p.room)), true
	case p.total == 0:
		return "waits for a shard to register", false
	case want > p.total:
		return fmt.Sprintf("waits for %s, %s registered", shards(want), are(p.total)), false
	case !slices.ContainsFunc(p.all, writer):
		return fmt.Sprintf("waits for a shard that can write %s", s.Format), false
	case want == 0 && l.c.cfg.Clock().Before(l.calm):
		return "waits for the shards to register again", true
	case len(p.free) < max(want, 1):
		return fmt.Sprintf("waits for %s, %s of %d idle", shards(max(want, 1)), are(len(p.free)),
			p.total), true
	case l.onlyBlamed(r, p):
		return "waits for a shard on which it has not failed", true
	case !slices.ContainsFunc(p.free, writer):
		return fmt.Sprintf("waits for an idle shard that can write %s", s.Format), true
	}
	return "", false
}

// onlyBlamed reports whether a job has gone wrong on all nodes that are free, but not on all that
// there are: five failures of its own in a row would end it.
func (l *leader) onlyBlamed(r job.Record, p pool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	good := func(n *node) bool { return !l.blamed[r.ID][n.reg.Node] }
	return !slices.ContainsFunc(p.free, good) && slices.ContainsFunc(p.all, good)
}

// breath is how long a job waits after attempts that got nowhere, the longer the more of them there
// were: otherwise a node that is dead and not missed yet could use up what attempts a job has.
func (l *leader) breath(r job.Record) time.Duration {
	lost, _ := r.Futile()
	if lost < 2 {
		return 0
	}
	return min(time.Duration(lost)*100*time.Millisecond, l.c.cfg.Timing.LostAfter)
}

// wanted is the number of shards that a job needs; 0: as many as pay. One that has lost an attempt
// goes on with what is there.
func wanted(r job.Record) int {
	if r.Attempt > 0 {
		return 0
	}
	return max(r.Spec.Shards, r.Spec.Mesh.Size())
}

// works reports whether a node is still at work on a job.
func (p pool) works(id job.ID) bool {
	return slices.ContainsFunc(p.all, func(n *node) bool {
		return n.beat.State != wire.Idle && n.beat.Work.Job == id
	})
}

func shards(n int) string {
	if n == 1 {
		return "1 shard"
	}
	return fmt.Sprintf("%d shards", n)
}

func are(n int) string {
	if n == 1 {
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}

// place commits a plan for r on free nodes, takes them from the pool and orders them to start. A
// job that no mesh fits fails at once.
func (l *leader) place(r job.Record, p *pool) error {
	free := l.trusted(r, *p)
	mesh, err := arrange(l.c.fsm.model(), r, len(free))
	if err != nil {
		l.fail(r, err.Error())
		return nil
	}
	picked := p.take(free, mesh.Size(), r.Spec.Format)
	plan := job.Plan{Job: r.ID, Attempt: r.Attempt + 1, Spec: r.Spec, Mesh: mesh,
		Resume: r.Checkpoint, CheckpointEvery: max(0, l.c.cfg.CheckpointEvery),
		PreviewEvery: max(0, l.c.cfg.PreviewEvery)}
	for _, n := range picked {
		plan.Nodes = append(plan.Nodes, n.reg.Node)
	}
	plan.Shares = shares(mesh, picked)
	plan.Where = where(mesh, called(picked))
	if _, err := l.c.commit(command{Kind: kindPlace, Job: r.ID, Plan: &plan}); err != nil {
		return err
	}
	l.c.metrics.waited.Observe(max(0, l.today().Sub(r.Created).Seconds()))
	l.c.log.Info("job placed", "job", r.ID, "attempt", plan.Attempt, "mesh", mesh.String(),
		"nodes", called(picked), "shares", percents(plan.Shares))
	plan.Parts = r.Parts
	l.start(plan, picked)
	return nil
}

func called(nodes []*node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.reg.Name)
	}
	return out
}

// where says on which nodes a job is, and how they are arranged.
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

// percents are parts of a whole, to read.
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

// trusted returns the free nodes but those on which the job went wrong, if it can do without them.
func (l *leader) trusted(r job.Record, p pool) []*node {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(p.free), func(n *node) bool {
		return l.blamed[r.ID][n.reg.Node]
	})
	enough := len(left) >= max(wanted(r), 1)
	if enough && slices.ContainsFunc(left, func(n *node) bool { return n.writes(r.Spec.Format) }) {
		return left
	}
	return p.free
}

// arrange chooses the mesh of a job's next attempt. After a loss the shards asked for are the most
// it gets, not the least.
func arrange(m job.Model, r job.Record, free int) (job.Mesh, error) {
	s := r.Spec
	if r.Attempt > 0 {
		if asked := max(s.Shards, s.Mesh.Size()); asked > 0 {
			free = min(free, asked)
		}
		if s.Mesh.Size() != free {
			s.Shards, s.Mesh = 0, job.Mesh{}
		}
	}
	return ChooseMesh(m, s, free)
}

// together puts the nodes of one process, which hand over by reference, one behind the other: those
// of the smallest process that has n of them first, or else those of larger ones before those of
// smaller ones.
func together(from []*node, n int) []*node {
	var all [][]*node
	at := map[string]int{}
	for _, f := range from {
		i, seen := at[f.reg.Start]
		if !seen {
			i = len(all)
			at[f.reg.Start], all = i, append(all, nil)
		}
		all[i] = append(all[i], f)
	}
	slices.SortStableFunc(all, func(a, b []*node) int {
		if len(a) >= n && len(b) >= n {
			return len(a) - len(b)
		}
		return len(b) - len(a)
	})
	return slices.Concat(all...)
}

// take removes n of the given nodes from the pool; the first, which will hold rank 0, can write the
// format.
func (p *pool) take(from []*node, n int, format string) []*node {
	from = together(from, n)
	first := slices.IndexFunc(from, func(n *node) bool { return n.writes(format) })
	picked := []*node{from[first]}
	rest := slices.Delete(slices.Clone(from), first, first+1)
	picked = append(picked, rest[:n-1]...)
	p.free = slices.DeleteFunc(slices.Clone(p.free), func(n *node) bool {
		return slices.Contains(picked, n)
	})
	return picked
}

// setWaiting replaces the reasons and tells watchers of those that changed.
func (l *leader) setWaiting(reasons map[job.ID]string) {
	l.mu.Lock()
	old := l.waiting
	l.waiting = reasons
	l.mu.Unlock()
	for id := range maps.Keys(reasons) {
		if old[id] != reasons[id] {
			l.c.hub.notify(id)
		}
	}
}
