package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

const modelListHelp = `List the models that a cluster serves. DEFAULT marks the one that requests
get if they name none. SIZE, FRAMES and STEPS are the model's defaults. SHARDS counts those that
have the model, LOADED those that have it in memory, FREE those that have it and run no job. A dash
means that the coordinator does not lead, and so does not know. "longtake node list" shows which
shard has which model.`

// modelList shows the models that a cluster serves, and on which shards they are.
func modelList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the models that a cluster serves, and where",
		Long: modelListHelp, Args: daemon.NoArgs}
	js := asJSON(cmd)
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, _ []string) ([]schema.Model,
		error) {
		return c.Models(ctx)
	}, printModels)
	return cmd
}

// printModels prints a table, or an object a line with --json. Columns of shards count those that
// have the model, have it loaded, and of these that have it the ones that do nothing; a dash where
// the coordinator does not lead and cannot know.
func printModels(w io.Writer, models []schema.Model, js bool) error {
	if js {
		return terminal.Lines(w, models)
	}
	const head = "NAME\tDEFAULT\tSIZE\tFRAMES\tSTEPS\tSHARDS\tLOADED\tFREE\tFINGERPRINT"
	return terminal.Table(w, head, func(w io.Writer) {
		for _, m := range models {
			d, first := m.Details.Defaults, "-"
			if m.Details.Default {
				first = "yes"
			}

			have, loaded, free := "-", "-", "-"
			if s := m.Details.Shards; s != nil {
				have, loaded, free = fmt.Sprint(len(s.Have)), fmt.Sprint(len(s.Loaded)),
					fmt.Sprint(len(s.Free))
				if n := len(s.Loading); n > 0 {
					loaded += fmt.Sprintf(" and %d loading", n)
				}
			}
			terminal.Printf(w, "%s\t%s\t%dx%d\t%d\t%d\t%s\t%s\t%s\t%.15s\n", m.ID, first, d.Width,
				d.Height, d.Frames, d.Steps, have, loaded, free, m.Details.Fingerprint)
		}
	})
}

// modelsOf names the models of a shard: those that are loaded with a star, the one that is being
// loaded with a plus, and how many it has and runs no jobs of.
func modelsOf(n schema.Node) string {
	marks := map[string]string{n.Loading: "+"}
	for _, name := range n.Loaded {
		marks[name] = "*"
	}
	var out []string
	for _, name := range n.Models {
		out = append(out, name+marks[name])
	}

	text := dash(strings.Join(out, ","))
	if bad := len(n.Refused); bad > 0 {
		text += fmt.Sprintf(" (%d refused)", bad)
	}
	return text
}
