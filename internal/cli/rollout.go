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
	"github.com/longtake/longtake/internal/rollout"
	"github.com/longtake/longtake/internal/terminal"
)

// rolloutHelp explains what rules are about; the list of features is added to it.
const rolloutHelp = `Say who may use a model or a feature yet. Without a rule everybody may.

  longtake rollout set wan2.2 --percent 10 --keys team-a,ci
  longtake rollout show wan2.2 --owner ci
  longtake rollout delete wan2.2

Who is in --deny may not, who is in --keys may, and of all other keys so many percent: always the
same ones, and raising the percentage takes it from nobody. Entries are names or ids of keys, ids of
subjects of an identity provider, and teams. Administrators may use everything.

NAME is a model, as NAME or model:NAME, or a feature:
`

// rolloutCommand rolls models and features out. It is for administrators.
func rolloutCommand() *cobra.Command {
	help := rolloutHelp
	for _, f := range rollout.Features {
		help += fmt.Sprintf("  %-17s %s\n", f.Name, f.Help)
	}
	cmd := &cobra.Command{Use: "rollout", Short: "Say who may use which models and features yet",
		Long: strings.TrimSuffix(help, "\n")}
	return group(cmd, rolloutSet(), rolloutList(), rolloutShow(), rolloutDelete())
}

// rolloutSet puts a rule in place of the one before. All of it has to be said: with parts that stay
// as they were, two administrators would make a rule that neither of them has meant.
func rolloutSet() *cobra.Command {
	cmd := &cobra.Command{Use: "set NAME", Args: oneArg("NAME"),
		Short: "Set who may use a model or a feature, in place of what was set before"}
	percent := cmd.Flags().Float64("percent", 0, "of the keys that are in no list, 0 to 100")
	keys := cmd.Flags().StringSlice("keys", nil, "names or ids of keys, and teams, that may use it")
	deny := cmd.Flags().StringSlice("deny", nil, "those that may not")
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		flags := cmd.Flags()
		if !flags.Changed("percent") && !flags.Changed("keys") && !flags.Changed("deny") {
			return daemon.Usagef("nobody is named; allowed: --percent, --keys, --deny, or " +
				"--percent 0 for nobody")
		}

		// Whom it is denied to are exceptions: the others may, unless a percentage says how many.
		q := schema.RolloutChange{Percent: *percent, Keys: *keys, Deny: *deny}
		if !flags.Changed("percent") && !flags.Changed("keys") {
			q.Percent = 100
		}
		if err := (rollout.Rule{Name: args[0], Percent: q.Percent, Keys: q.Keys,
			Deny: q.Deny}).Check(); err != nil {
			return daemon.Usage(err)
		}

		c, err := dial(cmd)
		if err != nil {
			return err
		}

		r, err := c.SetRollout(cmd.Context(), args[0], q)
		if err != nil {
			return err
		}
		return printRollouts(cmd.OutOrStdout(), []schema.Rollout{r}, *js)
	}
	return cmd
}

// rolloutList lists the rules.
func rolloutList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List who may use what", Args: daemon.NoArgs}
	js := asJSON(cmd)
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, _ []string) ([]schema.Rollout,
		error) {
		l, err := c.Rollouts(ctx)
		return l.Data, err
	}, printRollouts)
	return cmd
}

// rolloutShow shows a rule, and whether one key may use what it is about.
func rolloutShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Args: oneArg("NAME"),
		Short: "Show who may use a model or a feature, or whether one key may, and why"}
	owner := cmd.Flags().String("owner", "", "id or name of the key to ask about")
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		r, err := c.Rollout(cmd.Context(), args[0], *owner)
		if err != nil {
			return err
		}

		// Of one key the answer is a sentence; a script has it in the JSON.
		out := cmd.OutOrStdout()
		if *js || r.Allowed == nil {
			return printRollouts(out, []schema.Rollout{r}, *js)
		}
		word := "may not use it"
		if *r.Allowed {
			word = "may use it"
		}
		terminal.Printf(out, "%s %s: %s\n", r.Owner, word, r.Why)
		return nil
	}
	return cmd
}

// rolloutDelete takes a rule away.
func rolloutDelete() *cobra.Command {
	return &cobra.Command{Use: "delete NAME", Args: oneArg("NAME"),
		Short: "Open a model or a feature to everybody", RunE: func(cmd *cobra.Command,
			args []string) error {
			c, err := dial(cmd)
			if err != nil {
				return err
			}
			return c.DeleteRollout(cmd.Context(), args[0])
		}}
}

// printRollouts prints a table, or an object a line.
func printRollouts(w io.Writer, all []schema.Rollout, js bool) error {
	if js {
		return terminal.Lines(w, all)
	}
	return terminal.Table(w, "NAME\tPERCENT\tKEYS\tDENY", func(w io.Writer) {
		for _, r := range all {
			percent := fmt.Sprintf("%g", r.Percent)
			if r.Open {
				percent = "open to all"
			}
			terminal.Printf(w, "%s\t%s\t%s\t%s\n", r.Name, percent, dash(strings.Join(r.Keys, ",")),
				dash(strings.Join(r.Deny, ",")))
		}
	})
}
