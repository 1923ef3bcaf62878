package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/advise"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/topology"
)

// print tells what was planned. Of one pool the meshes are shown, of several what each is best at.
func (a *planAsk) print(w io.Writer, plans []planned) error {
	// The clip is the same on all pools but for its type, which goes by the first one.
	plans[0].printClip(w)
	if len(plans) == 1 {
		if err := plans[0].printMeshes(w); err != nil {
			return err
		}
		if err := plans[0].printFastest(w); err != nil {
			return err
		}
	}

	terminal.Printf(w, "\n")

	if err := printPools(w, plans); err != nil {
		return err
	}
	if a.rate != "" {
		if err := a.printRate(w, plans); err != nil {
			return err
		}
	}
	printSources(w, plans)
	return nil
}

// printClip says what is made, and what there is to split: tokens and heads are shared by the ranks
// of a group.
func (p planned) printClip(w io.Writer) {
	m, s := p.clip.Model, p.clip.Spec
	load := plan.Load(m, s)
	seconds := float64(s.Frames) / float64(s.FPS)
	what := fmt.Sprintf("%d frames (%s)", s.Frames, span(seconds))
	if s.Frames == 1 {
		what = "an image"
	}
	terminal.Printf(w, "%s: %dx%d, %s in %s of %s, %s\n", m.Name, s.Width, s.Height, what,
		count(s.TotalSteps(), "step"), passes(int(load.Passes())), cmp.Or(s.DType, job.DTypes[0]))

	// Windows and blocks are made apart from each other.
	terminal.Printf(w, "%d tokens", m.Tokens(s.Frames, s.Height, s.Width))
	if n := len(load.Windows(0)); n > 1 {
		terminal.Printf(w, " in %d windows of %d", n, load.WindowTokens())
	}

	if s.Causal != nil {
		terminal.Printf(w, " in %d blocks of %d, each of which sees up to %d", s.Blocks,
			load.WindowTokens(), load.PerFrame*s.Window/m.Patch[0])
	}
	terminal.Printf(w, ", %d heads, %d layers: %.2g operations\n", m.Heads, m.Layers,
		p.options[0].Operations)
}

// shown tells which meshes people see: those of as many ranks as the largest or the fastest one,
// and of each power of two the best.
func (p planned) shown() (out []advise.Option) {
	all := map[int]bool{p.options[0].Mesh.Size(): true}
	if f := p.fastest(); f != nil {
		all[f.Mesh.Size()] = true
	}

	// The best of a number come first.
	last := 0
	for _, o := range p.options {
		n := o.Mesh.Size()
		best := n != last && n&(n-1) == 0
		if all[n] || best || o.Most {
			out = append(out, o)
		}
		last = n
	}
	return out
}

// printMeshes lists the meshes of a pool, those of the most ranks first.
func (p planned) printMeshes(w io.Writer) error {
	terminal.Printf(w, "%s: %s%s\n\n", p.pool.Name, p.pool.About, p.networkText())
	shown, head := p.shown(), "MESH\tTIME\tA STEP\tMEMORY\tSENT A STEP\t"
	if p.pool.Sheet != nil {
		head += "COST\t"
	}

	err := terminal.Table(w, head, func(w io.Writer) {
		for _, o := range shown {
			terminal.Printf(w, "%s\t%s\t%s\t%s\t%s\t", o.Mesh, span(o.Total), span(o.Step),
				plan.Bytes(o.MemoryPerShard.Total()), plan.Bytes(int64(o.BytesInside+o.BytesBetween)))
			if p.pool.Sheet != nil {
				terminal.Printf(w, "%s\t", p.costText(o, 1))
			}

			what := o.Why
			if o.Fastest {
				what = "chosen"
			}
			terminal.Printf(w, "%s\n", what)
		}
	})
	if more := len(p.options) - len(shown); more > 0 {
		terminal.Printf(w, "%d more with --json\n", more)
	}
	return err
}

// networkText says what is between hosts, where there are several. A rate that nobody gave is said
// to be one, as it decides which mesh is the fastest.
func (p planned) networkText() string {
	if p.pool.Hosts() < 2 {
		return ""
	}
	if v := p.pool.Network.Bytes; v > 0 {
		return fmt.Sprintf(", %s/s between hosts", plan.Bytes(int64(v)))
	}
	return fmt.Sprintf(", %s/s between hosts, as nothing else is said",
		plan.Bytes(int64(topology.Defaults.Net)))
}

// printFastest says what the time of the chosen mesh is made of, what limits it, and what helps. It
// is for someone who wants to know what to change: each line is about one thing that can be.
func (p planned) printFastest(w io.Writer) error {
	o := p.fastest()
	if o == nil {
		terminal.Printf(w, "\n%s\n", p.tooLarge())
		return nil
	}

	// The time first, then what it is made of, then what to do about it.
	terminal.Printf(w, "\n%s takes %s, +-%.0f %%: %s\n", o.Mesh, span(o.Total), 100*o.Error,
		stagesText(o.Stages))
	terminal.Printf(w, "  a step       %s: %s\n", span(o.Step), p.stepText(o))
	if o.Mesh.Size() > 1 {
		terminal.Printf(w, "  sent a step  %s inside hosts, %s between them\n",
			plan.Bytes(int64(o.BytesInside)), plan.Bytes(int64(o.BytesBetween)))
	}

	memory, of := o.MemoryPerShard, ""
	if o.Has > 0 {
		of = " of " + plan.Bytes(o.Has)
	}
	terminal.Printf(w, "  memory       %s%s: weights %s, denoising %s, decoding %s\n",
		plan.Bytes(memory.Total()), of, plan.Bytes(memory.Weights), plan.Bytes(memory.Denoise),
		plan.Bytes(memory.Decode))
	if o.Swaps {
		terminal.Printf(w, "               with one of two transformers at a time, of %s each\n",
			plan.Bytes(memory.Expert))
	}

	terminal.Printf(w, "  limited by   %s; %.0f %% of the peak is used (MFU)\n", p.pool.LimitText(*o),
		100*o.MFU)
	p.printElse(w, o)
	return p.printIfs(w, o)
}

// tooLarge says what to do where no mesh fits. Ranks share the tokens of a clip, not the weights:
// if those alone are too large, no number of devices helps, and to say so saves buying them.
func (p planned) tooLarge() string {
	o := p.options[0] // of the most ranks
	weights := cmp.Or(o.MemoryPerShard.Expert, o.MemoryPerShard.Weights)
	if weights > o.Has {
		return fmt.Sprintf("nothing fits: each shard has all weights of a transformer, %s, and a device "+
			"has %s; devices with more memory or a --dtype of fewer bits are needed",
			plan.Bytes(weights), plan.Bytes(o.Has))
	}
	return "nothing fits into the memory of a device: more of them, a smaller clip or a --dtype " +
		"of fewer bits need less on each"
}

// unfit is an error if the clip fits into the memory of no pool; it says what a device would need
// at the least, on the mesh that needs the least.
func unfit(plans []planned) error {
	var lacks []string
	for _, p := range plans {
		if p.fastest() != nil {
			return nil
		}
		least := p.options[0]
		for _, o := range p.options {
			if o.MemoryPerShard.Least() < least.MemoryPerShard.Least() {
				least = o
			}
		}
		lacks = append(lacks, fmt.Sprintf("%s on a device of %s, which has %s",
			plan.Bytes(least.MemoryPerShard.Least()), p.pool.Name, plan.Bytes(least.Has)))
	}
	return daemon.Unfitf("the clip fits no device: it needs %s", strings.Join(lacks, ", "))
}

// printElse says how many devices are left, and what a job gets that does not ask for this mesh.
func (p planned) printElse(w io.Writer, o *advise.Option) {
	if n := len(p.pool.Nodes) - o.Mesh.Size(); n > 0 {
		most := ""
		if p.options[0].Mesh.Size() < len(p.pool.Nodes) {
			most = fmt.Sprintf("; a clip can be shared by up to %d", p.options[0].Mesh.Size())
		}
		terminal.Printf(w, "  left         %s for other clips%s\n", count(n, "device"), most)
	}

	// The scheduler goes by bytes on one host, and may take another mesh.
	d := p.marked(func(o advise.Option) bool { return o.Default })
	if d != nil && d.Total > 1.01*o.Total {
		terminal.Printf(w, "  ask for it   with --mesh: a job that names none gets %s, %+.0f %%\n",
			d.Mesh, 100*(d.Total/o.Total-1))
	}
}

// printIfs says what would help.
func (p planned) printIfs(w io.Writer, o *advise.Option) error {
	ifs, err := advise.Ifs(p.clip, p.pool, *o, poolOpener{}.of)
	if err != nil {
		return err
	}
	for i, f := range ifs {
		key := "what if"
		if i > 0 {
			key = ""
		}

		if f.Fastest.Total > 0.99*o.Total {
			terminal.Printf(w, "  %-11s  %s: no faster\n", key, f.Change)
			continue
		}
		terminal.Printf(w, "  %-11s  %s: %s, %+.0f %% (%s)\n", key, f.Change, span(f.Fastest.Total),
			100*(f.Fastest.Total/o.Total-1), f.Fastest.Mesh)
	}
	return nil
}

// stageNames are the stages of a clip in their order.
var stageNames = []string{"start", "text", "denoise", "decode", "encode"}

// stagesText lists the stages.
func stagesText(stages map[string]float64) string {
	var parts []string
	for _, name := range stageNames {
		if v := stages[name]; v > 0 {
			parts = append(parts, name+" "+span(v))
		}
	}
	return strings.Join(parts, ", ")
}

// stepText says what a step consists of, leaving out what rounds to nothing. The shares add up to a
// whole step, so that what is not there takes no time worth an effort.
func (p planned) stepText(o *advise.Option) string {
	var parts []string
	for _, part := range []struct {
		name string
		took float64
	}{{"linear layers", o.Linear}, {"attention", o.Attention}, {"memory", o.MemoryBound},
		{"activations", o.Exposed}, {"velocities", o.Velocities},
		{"weights and host", o.Waiting}} {
		if share := 100 * part.took / o.Step; share >= 0.5 {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", part.name, share))
		}
	}
	return strings.Join(parts, ", ")
}

// printPools compares what pools are best at: one clip in the least time, and the most clips an
// hour, side by side. Which of the two counts depends on whether someone waits for each clip, so
// both are shown.
func printPools(w io.Writer, plans []planned) error {
	cost := false
	for _, p := range plans {
		cost = cost || p.pool.Sheet != nil
	}

	// Pools with prices have two columns more; others leave them empty.
	head := "POOL\tFOR\tAT A TIME\tMESH\tTIME\tCLIPS/H\tDEVICE-S\t"
	if cost {
		head += "A CLIP\tA MINUTE\t"
	}
	return terminal.Table(w, head, func(w io.Writer) {
		for _, p := range plans {
			if p.fastest() == nil {
				terminal.Printf(w, "%s\tdoes not fit\t\t\t\t\t\n", p.pool.Name)
				continue
			}
			p.printPool(w, "least time", *p.fastest(), cost)
			if most := *p.most(); most.Copies > 1 || !most.Fastest {
				p.printPool(w, "most clips", most, cost)
			}
		}
	})
}

// printPool prints one row. A minute is one of video.
func (p planned) printPool(w io.Writer, what string, o advise.Option, cost bool) {
	// The name of a pool stands once; a clip alone is one at a time on all devices that it uses.
	name := p.pool.Name
	if what != "least time" {
		name = ""
	} else {
		o.Copies, o.PerHour = 1, 3600/o.Total
	}
	terminal.Printf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t", name, what, o.Copies, o.Mesh,
		span(o.Total), digits(o.PerHour), digits(o.DeviceSeconds))
	if cost && p.pool.Sheet != nil {
		const minute = 60
		seconds := float64(p.clip.Spec.Frames) / float64(p.clip.Spec.FPS)
		terminal.Printf(w, "%s\t%s\t", p.costText(o, 1), p.costText(o, minute/seconds))
	}
	terminal.Printf(w, "\n")
}

// costText is what so many clips cost, in as many digits as a prediction has.
func (p planned) costText(o advise.Option, clips float64) string {
	const micro = 1e6
	return digits(clips*float64(o.Cost)/micro) + " " + p.pool.Sheet.Currency
}

// digits prints a figure in three digits, as many as a prediction has, and never with an exponent.
func digits(v float64) string {
	const three, whole = 3, 100
	if v >= whole {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', three, 64)
}

// printSources says where the figures of devices are from.
func printSources(w io.Writer, plans []planned) {
	terminal.Printf(w, "\n")
	seen := map[string]bool{}

	// A device that several pools have is named once.
	for _, p := range plans {
		for _, d := range p.pool.Devices() {
			if seen[d.Name] {
				continue
			}
			seen[d.Name] = true
			terminal.Printf(w, "%s: %s\n", d.Name, d.Source)
			if p.pool.Fleet != nil {
				e := p.clip.How.Efficiency(d, p.clip.Spec.DType)
				terminal.Printf(w, "  reached of that by %s: %.0f %% in linear layers, %.0f %% in "+
					"attention; %s\n", p.clip.How.Name, 100*e.Linear, 100*e.Attention, e.From)
			}
		}

		if o := p.fastest(); o != nil && p.pool.Fleet == nil && p.pool.Hosts() > 1 {
			terminal.Printf(w, "the fastest is on %s\n", p.where(*o))
		}
	}
}

// where names the hosts of an option's ranks.
func (p planned) where(o advise.Option) string {
	sites := make([]topology.Site, len(o.Nodes))
	for i, n := range o.Nodes {
		sites[i].Host = p.pool.Nodes[n].Host
	}
	return topology.Where(sites, job.WhereLimit)
}

// passes prints a number of passes.
func passes(n int) string {
	if n == 1 {
		return "1 pass"
	}
	return fmt.Sprintf("%d passes", n)
}
