package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/model/published"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/shard"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/topology"
)

// planCommand shows the meshes for a clip and what they would cost, without making it. It needs the
// model's configuration, not its weights, and a coordinator only for the speeds of real shards. The
// table of meshes and the forecast go to stdout; --json prints the meshes alone. A clip that would
// be refused, by a limit on time or memory, is planned all the same: the forecast shows by how much
// it is too large.
func planCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plan", Short: "Show how a clip would be split, and what it would move",
		Long: `Show the meshes that a number of shards can have for a clip, with the passes through the
model that the busiest shard runs in a step, one after the other, and the bytes that all shards
together send. The planner takes the fewest bytes, unless another mesh is much faster. Where the
shards of --coordinator are on several hosts, it takes the mesh and the shards by which a step is
predicted to take the least time, and the plan says which hosts these are. How long the clip takes
is an estimate: on the shards of --coordinator (or LONGTAKE_URL), or else on shards that
are as fast as this machine's CPU. Waiting for each other and for other jobs is not in it. The model
is a folder on this machine, with a coordinator too, or the name of a published one, which need not
be there; no weights and no pictures are read.

  longtake plan --shards 4 --size 96x64 --frames 33
  longtake plan --shards 4 --seconds 60
  longtake plan --shards 8 --model Wan2.2-T2V-A14B --size 1280x720`,
		Args: daemon.NoArgs}
	f := cmd.Flags()
	shards := f.Int("shards", 0, fmt.Sprintf("how many shards (default: those of the coordinator, as "+
		"far as the clip can be split, or else %d)", local.DefaultShards))
	path := f.String("model", "", "folder of the model, or the name of a published one, such as "+
		"Wan2.2-T2V-A14B (default: the built-in one)")
	var r job.Request
	defineFields(f, &r, func(field job.Field) bool { return field.Plans })

	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.Changed("shards") && *shards < 1 {
			return daemon.Usagef("--shards is %d; allowed: from 1", *shards)
		}

		// The model is this machine's also with a coordinator, whose shards may have another one.
		m, err := describe(*path)
		if err != nil {
			return daemon.Usage(err)
		}
		printNotices(cmd.ErrOrStderr(), m.Notices)

		// Resolve fills in the model's defaults, on which the number of tokens depends.
		s, err := m.Resolve(m.Sketch(r), nil)
		if err != nil {
			return inFlags(err)
		}
		offers, sites, where, err := planOffers(cmd, m, *shards)
		if err != nil {
			return err
		}
		n := *shards
		if n == 0 {
			n = splittable(plan.Load(m, s), len(sites))
			offers = offers[:min(len(offers), n)]
		}
		p := placing{m, s, sites}
		if err := printPlan(cmd.OutOrStdout(), p, n, *js); err != nil || *js {
			return err
		}
		p.printBest(cmd.OutOrStdout(), n)
		printForecast(cmd.OutOrStdout(), plan.Predict(m, s, offers), where)
		return nil
	}
	return cmd
}

// describe describes the model in a folder, or the published one of that name where there is no
// such folder.
func describe(model string) (job.Model, error) {
	open := shard.OpenModel
	if _, err := os.Stat(model); errors.Is(err, fs.ErrNotExist) && named(model) {
		open = published.Open
	}
	folder, err := open(model)
	if err != nil {
		return job.Model{}, err
	}
	defer folder.Close()
	return engine.Describe(folder)
}

// named reports whether a text may be the name of a model, and is not that of a folder.
func named(model string) bool {
	path := strings.HasPrefix(model, ".") || strings.ContainsAny(model, `/\`)
	return model != "" && (published.Known(model) || !path)
}

// splittable returns the most of n shards that a clip can be split over; the default without any.
func splittable(l partition.Load, n int) int {
	if n == 0 {
		n = local.DefaultShards
	}
	for ; n > 1; n-- {
		if _, err := partition.Choose(n, l); err == nil {
			break
		}
	}
	return n
}

// planOffers returns the speed and memory that n shards bring to a clip, and where: those
// registered at a coordinator, fewer if it has fewer, or n that are as fast as this machine's CPU.
// For 0 these are all that are registered, or the default number.
// Of those at a coordinator it returns all as sites too. Shards at work count like idle ones: the
// plan is for a cluster that has nothing else to do.
func planOffers(cmd *cobra.Command, m job.Model, n int) (offers []plan.Offer,
	sites []topology.Site, where string, err error) {
	v, err := load(cmd)
	if err != nil {
		return nil, nil, "", err
	}
	if url := v.String("coordinator"); url != "" {
		nodes, err := nodes(cmd)
		if err != nil {
			return nil, nil, "", err
		}
		for _, n := range nodes {
			offers = append(offers, plan.Offer{Speed: n.Speed, Memory: n.Memory})
		}
		if n > 0 {
			offers = offers[:min(len(offers), n)]
		}
		return offers, sitesOf(nodes), "at " + url, nil
	}

	// All cores for one shard: each of the n stands for a machine like this one.
	speed, memory, err := shard.RateCPU(m, 0, 1)
	if err != nil {
		return nil, nil, "", daemon.Usage(err)
	}
	for range cmp.Or(n, local.DefaultShards) {
		offers = append(offers, plan.Offer{Speed: speed, Memory: memory})
	}
	return offers, nil, "each as fast as this machine", nil
}

// printForecast tells how much work a clip is in all, and how long it would take where the speed of
// the shards is known.
func printForecast(w io.Writer, f plan.Forecast, where string) {
	terminal.Printf(w, "about %.2g operations, and %s of memory on each shard (%v)", f.Operations,
		plan.Bytes(f.Memory.Total()), f.Memory)
	// It is rounded to what an estimate can know.
	if f.Time > 0 {
		terminal.Printf(w, "; %s on %s %s", plan.About(f.Time), count(f.Shards, "shard"), where)
	}
	terminal.Printf(w, "\n")
}

// planLine is one mesh, as --json prints it.
type planLine struct {
	Mesh string `json:"mesh"`
	// What all ranks together send in a step, and how much of that is where windows overlap.
	BytesPerStep int64 `json:"bytes_per_step"`
	SeamBytes    int64 `json:"seam_bytes_per_step"`
	// Passes through the model that the busiest rank makes in a step, one after the other.
	Passes int `json:"passes_per_step"`
	// How tokens and attention heads are shared by the ranks of one group. They need not divide.
	Tokens []int `json:"tokens"`
	Heads  []int `json:"heads"`
	// What the shard with the most needs, in bytes; as a whole, and what that is made of.
	Memory       int64 `json:"memory"`
	WeightBytes  int64 `json:"weight_bytes"`
	DenoiseBytes int64 `json:"denoise_bytes"`
	DecodeBytes  int64 `json:"decode_bytes"`
	// What a step is predicted to take on the best shards for the mesh, and where that is, for
	// people; absent where that cannot be predicted.
	StepSeconds float64 `json:"predicted_step_seconds,omitempty"`
	Where       string  `json:"where,omitempty"`
	// Chosen marks the mesh that a clip gets unless its request names one.
	Chosen bool `json:"chosen"`
}

// printPlan lists the meshes of a number of shards, the cheapest first, and marks the one that the
// planner takes. A number that no mesh has is a usage error, with those that have one. Bytes are
// those that all ranks together send in a step.
func printPlan(w io.Writer, p placing, shards int, js bool) error {
	m, s := p.m, p.s
	load := plan.Load(m, s)
	options, err := partition.Explain(shards, load)
	if err != nil {
		return daemon.Usagef("--shards is %d; allowed: %v", shards, err)
	}

	// The search for a mesh is the planner's own; here it is only laid out.
	plans := make([]planLine, 0, len(options))
	for _, o := range options {
		memory := plan.MemoryOf(m, s, o.Mesh)
		plans = append(plans, planLine{Mesh: o.Mesh.String(), BytesPerStep: o.Bytes.Sum(),
			SeamBytes: o.Bytes.Seams, Passes: o.Passes, Chosen: o.Best,
			Memory: memory.Total(), WeightBytes: memory.Weights, DenoiseBytes: memory.Denoise,
			DecodeBytes: memory.Decode,
			Tokens:      lengths(load.WindowTokens(), o.Mesh.Ulysses),
			Heads:       lengths(load.Heads, o.Mesh.Ulysses)})
	}
	p.predict(plans, options, shards)

	if js {
		return terminal.Lines(w, plans)
	}

	// The head says what there is to split: tokens and heads are shared by the ranks of one group.
	terminal.Printf(w, "%s: %dx%d, %d frames are %d tokens", m.Name, s.Width, s.Height, s.Frames,
		m.Tokens(s.Frames, s.Height, s.Width))
	if n := len(load.Windows(0)); n > 1 {
		terminal.Printf(w, " in %d windows of %d", n, load.WindowTokens())
	}
	if s.Causal != nil {
		terminal.Printf(w, " in %d blocks of %d, each of which sees up to %d", s.Blocks,
			load.WindowTokens(), load.PerFrame*s.Window/m.Patch[0])
	}
	terminal.Printf(w, "; %d heads, %d layers\n", m.Heads, m.Layers)
	const head = "MESH\tPASSES A STEP\tBYTES A STEP\tMEMORY OF A SHARD\tTOKENS OF A RANK\t" +
		"HEADS OF A RANK\tTIME OF A STEP\t"
	return terminal.Table(w, head, func(w io.Writer) {
		for _, p := range plans {
			mark := ""
			if p.Chosen {
				mark = "chosen"
			}
			bytes := size(uint64(p.BytesPerStep)) //nolint:gosec // from 0
			terminal.Printf(w, "%s\t%d\t%s\t%s\t%v\t%v\t%s\t%s\n", p.Mesh, p.Passes, bytes,
				plan.Bytes(p.Memory), p.Tokens, p.Heads, p.time(), mark)
		}
	})
}

// lengths returns how many of n things each of some ranks gets. They differ by one at most.
func lengths(n, parts int) []int {
	var out []int
	for _, r := range partition.Even(n, parts) {
		out = append(out, r.Len())
	}
	return out
}
