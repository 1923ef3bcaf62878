package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

// teamCommand gives teams their quotas. A team is what keys name; one without a quota need not be
// set.
func teamCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "team", Short: "Give teams of keys quotas that they share"}
	return group(cmd, teamSet(), teamList(), teamRemove())
}

// teamSet gives a team its quota, in place of the one that it has. Bounds that are left out are
// none from then on, as with a key: what is shown is what was given last.
func teamSet() *cobra.Command {
	cmd := &cobra.Command{Use: "set NAME", Short: "Give a team its quota", Args: oneArg("NAME"),
		Example: "  longtake team set video --quota running=4,device-seconds=86400"}
	quota := cmd.Flags().String("quota", "", "bounds for all of its keys together, such as "+
		"running=4, of "+access.QuotaNames())
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := access.CheckName("NAME", args[0]); err != nil {
			return daemon.Usage(err)
		}
		// A flag that was forgotten would take all bounds away.
		if !cmd.Flags().Changed("quota") {
			return daemon.Usagef("--quota is missing; allowed: bounds such as running=4; longtake team " +
				"remove takes a quota away")
		}
		q, err := access.ParseQuota(*quota)
		if err != nil {
			return daemon.Usagef("--%w", err)
		}

		c, err := dial(cmd)
		if err != nil {
			return err
		}
		t, err := c.SetTeam(cmd.Context(), args[0], q)
		if err != nil {
			return err
		}
		return printTeams(cmd.OutOrStdout(), []schema.Team{t}, *js)
	}
	return cmd
}

// teamList lists the teams that have quotas. A team that only keys name is in the list of keys.
func teamList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the teams that have quotas", Args: daemon.NoArgs}
	js := asJSON(cmd)
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, _ []string) ([]schema.Team,
		error) {
		return c.Teams(ctx)
	}, printTeams)
	return cmd
}

// teamRemove takes a team's quota away; its keys stay.
func teamRemove() *cobra.Command {
	return &cobra.Command{Use: "remove NAME", Short: "Take a team's quota away; its keys stay in it",
		Args: oneArg("NAME"), RunE: func(cmd *cobra.Command, args []string) error {
			c, err := dial(cmd)
			if err != nil {
				return err
			}
			return c.RemoveTeam(cmd.Context(), args[0])
		}}
}

// printTeams prints a table, or an object a line.
func printTeams(w io.Writer, all []schema.Team, js bool) error {
	if js {
		return terminal.Lines(w, all)
	}
	return terminal.Table(w, "TEAM\tQUOTA", func(w io.Writer) {
		for _, t := range all {
			terminal.Printf(w, "%s\t%s\n", t.Name, dash(t.Quota.String()))
		}
	})
}
