package sim

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// Mutants are planted bugs, at least one for each kind of violation. A bug has to show as one of
// the kinds that are given with it, between bars.
var Mutants = map[string]string{
	"a create is acknowledged before it is committed": "vanished|doubled",
	"a member comes back without its log":             "diverged|vanished",
	"a repeated create makes a second job":            "doubled",
	"a loss throws the checkpoint away":               "progress",
	"a loss throws the parts away":                    "progress",
	"two jobs share a node":                           "refused",
	"a damaged entry is skipped":                      "vanished|diverged|artifact|metering",
	"the ranks are more than the heads":               "tiles|wrong model",
	"a job goes to a node without its model":          "wrong model",
	"a second attempt starts next to the first":       "two live attempts",
	"attempts are counted from 0 again":               "attempts",
	"a completed job goes on":                         "final",
	"a result is recorded twice":                      "artifact",
	"an attempt forgets what it resumed from":         "artifact",
	"the results are swept with the checkpoints":      "artifact",
	"a rank's own error fails the job":                "lost",
	"queued jobs are never placed":                    "stuck",
	"a snapshot misses a job":                         "diverged|vanished|snapshot",
	"a rank is charged a second too much":             "metering",
}

// is reports whether this bug is planted in the run. The name is checked, so that a mutant that was
// renamed in one place only does not pass for one that is found.
func (w *world) is(mutant string) bool {
	if w.Mutant == "" {
		return false
	}
	if _, ok := Mutants[mutant]; !ok {
		panic("sim: no mutant is called " + mutant)
	}
	return w.Mutant == mutant
}

// mutateEntry lets the planted bug change a decision on its way into the log. lost means that the
// entry does not get there though the leader believes that it did.
func (w *world) mutateEntry(m *member, e entry, data []byte) (_ []byte, lost bool) {
	switch {
	case e.Kind == "create" && w.is("a create is acknowledged before it is committed"):
		return data, w.chance(0.2)
	case e.Kind == "create" && w.is("a repeated create makes a second job"):
		return rewriteEntry(data, func(c map[string]any) {
			delete(c["create"].(map[string]any), "key")
		}), false

	case e.Kind == "complete" && w.is("a rank is charged a second too much"):
		return rewriteEntry(data, overcharge), false
	case e.Kind == "lose" && w.is("a loss throws the checkpoint away"):
		return rewriteEntry(data, damage), false
	case e.Kind == "lose" && w.is("a rank's own error fails the job") && e.Setback.Own:
		return rewriteEntry(data, func(c map[string]any) { c["kind"] = "fail" }), false

	case e.Kind == "place" && w.is("two jobs share a node"):
		return w.share(m, data), false
	case e.Kind == "place" && w.is("the ranks are more than the heads"):
		return rewriteEntry(data, widen), false
	case e.Kind == "place" && w.is("a job goes to a node without its model"):
		return w.misplace(m, data), false
	}
	return data, false
}

// misplace puts a node into a plan that has other models; without such a node the plan stays.
func (w *world) misplace(m *member, data []byte) []byte {
	return rewriteEntry(data, func(c map[string]any) {
		p := c["plan"].(map[string]any)
		model := p["spec"].(map[string]any)["model"].(string)
		nodes, err := m.core.Nodes()
		for _, n := range nodes {
			if err == nil && n.State == "idle" && !w.onDisk(n.ID, model) {
				p["nodes"].([]any)[0] = string(n.ID)
				return
			}
		}
	})
}

// rewriteEntry changes the JSON of an entry and gives it a new checksum, so that the bug is in what
// was decided and not in how it was stored.
func rewriteEntry(data []byte, f func(map[string]any)) []byte {
	data, _, err := core.Unseal(data)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	return core.Seal(rewrite(data, f))
}

// rewrite changes a JSON object. Numbers stay as they were written: seeds do not fit a float64.
func rewrite(data []byte, f func(map[string]any)) []byte {
	var c map[string]any
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if err := d.Decode(&c); err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	f(c)
	out, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	return out
}

// share puts a node of another running job into a plan; without such a job the plan stays.
func (w *world) share(m *member, data []byte) []byte {
	for _, r := range m.core.Machine().Records(nil) {
		if r.State == job.Running {
			return rewriteEntry(data, func(c map[string]any) {
				c["plan"].(map[string]any)["nodes"].([]any)[0] = string(r.Plan.Nodes[0])
			})
		}
	}
	return data
}

// damage makes a loss say that the checkpoint it would resume from cannot be read.
func damage(c map[string]any) { c["setback"].(map[string]any)["damaged"] = true }

// widen is what a planner without checks might do: it spreads a plan over more ranks than there are
// heads.
func widen(c map[string]any) {
	const ranks = 40
	nodes := make([]any, ranks)
	for i := range nodes {
		nodes[i] = fmt.Sprint("x", i)
	}
	p := c["plan"].(map[string]any)
	p["nodes"], p["mesh"] = nodes, map[string]any{"cfg": 1, "ulysses": ranks}
}

// mutateRecord lets the planted bug change what the checker is shown of a decision. It shows that
// the checker would notice; the core itself goes on undisturbed.
func (w *world) mutateRecord(e entry, before, after *job.Record) {
	switch {
	case e.Kind == "save" && w.is("a second attempt starts next to the first"):
		after.Attempt++
	case e.Kind == "lose" && w.is("attempts are counted from 0 again"):
		after.Attempt = 0
	case e.Kind == "lose" && w.is("a loss throws the parts away"):
		after.Parts = nil
	case e.Kind == "save" && w.is("a completed job goes on"):
		before.State = job.Completed
	case e.Kind == "complete" && w.is("a result is recorded twice"):
		w.check.artifact(*after)
	}
}
