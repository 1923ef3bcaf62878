package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/terminal"
)

const modelInspectHelp = `Say what a model folder is: which Wan; the parameters, stored types and
memory of its parts; what longtake can make with it, and with which flags; and what is wrong with
it. No weight is read.

  longtake model inspect /models/Wan2.2-T2V-A14B-Diffusers

Exit codes: 0 longtake can run it; 1 it cannot, and the last lines say why; 2 the request was
wrong.`

// inspection is what `longtake model inspect` tells.
type inspection struct {
	Folder     string            `json:"folder"`
	Family     string            `json:"family,omitempty"`   // such as Wan 2.2 T2V-A14B
	Pipeline   string            `json:"pipeline,omitempty"` // the class of diffusers
	Components []model.Component `json:"components"`
	Makes      []string          `json:"makes,omitempty"`    // what longtake can do with it
	Notices    []string          `json:"notices,omitempty"`  // what was left out or chosen
	Problems   []string          `json:"problems,omitempty"` // why it cannot be run
}

// inspectCommand describes a folder.
func inspectCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "inspect DIR", Long: modelInspectHelp, Args: cobra.ExactArgs(1),
		Short: "Say what a model is, what it takes and what can be made with it"}
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		i := inspect(args[0])
		w := cmd.OutOrStdout()
		if *js {
			if err := terminal.JSON(w, i); err != nil {
				return err
			}
		} else {
			i.print(w)
		}

		if n := len(i.Problems); n > 0 {
			return fmt.Errorf("longtake cannot run this model: %s", i.Problems[n-1])
		}
		return nil
	}
	return cmd
}

// inspect looks at a folder. One that does not open has its parts counted all the same.
func inspect(dir string) inspection {
	i := inspection{Folder: dir}
	i.Components, i.Problems = model.Inspect(dir)
	f, err := model.Open(dir)
	if err != nil {
		i.Problems = append(i.Problems, err.Error())
		return i
	}
	defer f.Close()

	// Describe also wants the model's defaults to be a clip that it can make.
	i.Family, i.Pipeline = f.Family(), f.Pipeline.Class
	m, err := engine.Describe(f)
	if err != nil {
		i.Problems = append(i.Problems, err.Error())
		return i
	}
	i.Notices = m.Notices
	i.Makes = makes(f, m)
	return i
}

// print writes it for people.
func (i inspection) print(w io.Writer) {
	terminal.Printf(w, "%s: %s\n", i.Folder, cmp.Or(i.Family, "not a model that opens"))
	if i.Pipeline != "" {
		terminal.Printf(w, "pipeline: %s\n", i.Pipeline)
	}

	if len(i.Components) > 0 {
		i.table(w)
	}
	for _, m := range i.Makes {
		terminal.Printf(w, "makes: %s\n", m)
	}
	printNotices(w, i.Notices)
	for _, p := range i.Problems {
		terminal.Printf(w, "problem: %s\n", p)
	}
}

// table writes the parts, and their sum.
func (i inspection) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	terminal.Printf(t, "PART\tPARAMETERS\tSTORED\tTYPES\tMEMORY FP32\tMEMORY BF16\n")
	sum := model.Component{Name: "all", Memory: map[string]int64{}}
	for _, c := range i.Components {
		sum.Parameters, sum.Stored = sum.Parameters+c.Parameters, sum.Stored+c.Stored
		for k, n := range c.Memory {
			sum.Memory[k] += n
		}
		row(t, c)
	}
	row(t, sum)
	t.Flush()
}

// row writes one part.
func row(w io.Writer, c model.Component) {
	types := strings.Join(slices.Sorted(maps.Keys(c.DTypes)), ", ")
	terminal.Printf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, millions(c.Parameters),
		plan.Bytes(c.Stored), types, plan.Bytes(c.Memory["fp32"]), plan.Bytes(c.Memory["bf16"]))
}

// millions writes a count of parameters as people say it.
func millions(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f B", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	}
	return fmt.Sprint(n)
}

// makes lists what clips of a model may be made of, with the flags for it.
func makes(f *model.Folder, m job.Model) []string {
	unit := [2]int{m.SpatialScale * m.Patch[2], m.SpatialScale * m.Patch[1]}
	size := fmt.Sprintf("sizes in multiples of %dx%d, %d fps by default", unit[0], unit[1],
		int(m.Defaults.FPS))

	var out []string
	for _, c := range []struct {
		can  bool
		what string
	}{
		{!m.Takes.NeedsImage, "clips from text, " + size},
		{m.Takes.FirstImage, "clips from a first picture (--image), " + size},
		{m.Takes.LastImage, "clips up to a last picture (--last-image)"},
		{m.Takes.Video, "changes of a video (--video, --strength)"},
		{m.Takes.Control, "clips that a video, a mask or pictures control (--video, --mask, " +
			"--reference)"},
		{m.Extends, "longer clips by extension (--long extend)"},
		{m.Causal != nil, "clips of any length block by block (--long causal)"},
		{m.Experts.Split(), fmt.Sprintf("steps of %s, switched at timestep %v (--guidance-scale-2, "+
			"--experts)", strings.Join(f.Pipeline.Experts, " and "), m.Experts.Boundary)},
		{hasField("lora"), "clips with LoRAs (--lora)"},
		{hasField("preset"), "few steps, with weights made for it (--preset)"},
	} {
		if c.can {
			out = append(out, c.what)
		}
	}
	return out
}

// hasField reports whether this version has a field of a request.
func hasField(name string) bool {
	_, ok := job.LookupField(name)
	return ok
}
