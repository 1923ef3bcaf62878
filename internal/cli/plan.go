package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/shard"
)

func planCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plan", Short: "Show how a clip would be split, and what it would move",
		Long: `Show the meshes that a number of shards can have for a clip, with the bytes that all ranks
together send in one step. The planner takes the one with the fewest.

  longtake plan --shards 4 --size 96x64 --frames 33`, Args: cobra.NoArgs}
	f := cmd.Flags()
	shards := f.Int("shards", defaultShards, "how many shards")
	path := f.String("model", "", "folder of the model (default: the built-in one)")
	f.String("size", "", "WIDTHxHEIGHT in pixels")
	f.Int("frames", 0, "how many")
	f.Float64("guidance-scale", 0, "up to 1: one branch, so no cfg")
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		folder, err := shard.OpenModel(*path)
		if err != nil {
			return &usageError{err}
		}
		defer folder.Close()
		m, err := shard.Describe(folder)
		if err != nil {
			return &usageError{err}
		}
		c := api.Create{Frames: given(f, "frames", f.GetInt),
			GuidanceScale: given(f, "guidance-scale", f.GetFloat64)}
		c.Size, _ = f.GetString("size")
		r, err := c.Request(m)
		if err != nil {
			return inFlags(err)
		}
		s, err := m.Resolve(r, nil)
		if err != nil {
			return inFlags(err)
		}
		return printPlan(cmd.OutOrStdout(), m, s, *shards, *js)
	}
	return cmd
}

// planLine is one mesh of --json.
type planLine struct {
	Mesh         string `json:"mesh"`
	BytesPerStep int64  `json:"bytes_per_step"`
	Tokens       []int  `json:"tokens"` // of each rank of a group
	Heads        []int  `json:"heads"`
	Chosen       bool   `json:"chosen"`
}

func printPlan(w io.Writer, m job.Model, s job.Spec, shards int, js bool) error {
	load := coord.Load(m, s)
	options, err := partition.Explain(shards, load)
	if err != nil {
		return usage("--shards is %d; allowed: %s", shards, strings.TrimPrefix(err.Error(), "shards: "))
	}
	plans := make([]planLine, 0, len(options))
	for _, o := range options {
		plans = append(plans, planLine{Mesh: o.Mesh.String(), BytesPerStep: o.Bytes, Chosen: o.Best,
			Tokens: lengths(load.Tokens, o.Mesh.Ulysses), Heads: lengths(load.Heads, o.Mesh.Ulysses)})
	}
	if js {
		for _, p := range plans {
			if err := printJSON(w, p); err != nil {
				return err
			}
		}
		return nil
	}
	fmt.Fprintf(w, "%s: %dx%d, %d frames are %d tokens; %d heads, %d layers\n", m.Name, s.Width,
		s.Height, s.Frames, load.Tokens, m.Heads, m.Layers)
	return table(w, "MESH\tBYTES A STEP\tTOKENS OF A RANK\tHEADS OF A RANK\t", func(w io.Writer) {
		for _, p := range plans {
			mark := ""
			if p.Chosen {
				mark = "chosen"
			}
			bytes := size(uint64(p.BytesPerStep)) //nolint:gosec // from 0
			fmt.Fprintf(w, "%s\t%s\t%v\t%v\t%s\n", p.Mesh, bytes, p.Tokens, p.Heads, mark)
		}
	})
}

func lengths(n, parts int) []int {
	var out []int
	for _, r := range partition.Even(n, parts) {
		out = append(out, r.Len())
	}
	return out
}
