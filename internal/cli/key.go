package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

const keyHelp = `Make API keys, and say what their holders may do. These commands need scope admin:
that of the key which longtake pki init has left in admin.key, or without certificates
that of the local key, which commands on the coordinator's machine send by themselves.

  longtake key create --name ci --scopes videos:read,videos:write --expires 720h
  export LONGTAKE_API_KEY=lt_...            # or LONGTAKE_API_KEY_FILE=/path
  longtake key rotate ci --overlap 24h      # the text from before works for a day more
  longtake key revoke ci

A job belongs to the key that made it; to other keys it does not exist. Keys of scope
admin see all.`

// keyCommand makes keys and looks at them. What the API calls a key is one here, too; its text is
// printed by create and rotate alone.
func keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make API keys, change and revoke them", Long: keyHelp}
	return group(cmd, keyCreate(), keyList(), keyShow(), keyUpdate(), keyRotate(), keyRevoke())
}

// keyFlags are what a key has, as flags of create and update. Both read them in the same words as
// the API does, so that what is wrong is told without asking a server.
type keyFlags struct {
	team, quota string
	scopes      []string
	expires     time.Duration
}

// define adds the flags; those that are not given leave a key as it is.
func (k *keyFlags) define(fs *pflag.FlagSet) {
	fs.StringSliceVar(&k.scopes, "scopes", []string{"videos:read", "videos:write"},
		"what its holder may do: "+access.ScopesAllowed())
	fs.StringVar(&k.team, "team", "", "team whose quota it shares (see longtake team)")
	fs.StringVar(&k.quota, "quota", "", "bounds such as queued=10,device-seconds=3600, of "+
		access.QuotaNames())
	fs.DurationVar(&k.expires, "expires", 0, "how long from now it works; 0s: for ever")
}

// change is what the flags say that were given. What is wrong is told before anything is asked.
func (k *keyFlags) change(fs *pflag.FlagSet) (q schema.KeyChange, err error) {
	if fs.Changed("scopes") {
		scopes, err := access.ParseScopes(k.scopes)
		if err == nil {
			err = scopes.Check()
		}
		if err != nil {
			return q, daemon.Usagef("--%w", err)
		}
		q.Scopes = &scopes
	}

	if fs.Changed("quota") {
		quota, err := access.ParseQuota(k.quota)
		if err != nil {
			return q, daemon.Usagef("--%w", err)
		}
		q.Quota = &quota
	}

	if fs.Changed("team") {
		if err := access.CheckTeam(k.team); err != nil {
			return q, daemon.Usagef("--%w", err)
		}
		q.Team = &k.team
	}

	if fs.Changed("expires") {
		if k.expires < 0 {
			return q, daemon.Usagef("--expires is %v; allowed: from 0s (for ever)", k.expires)
		}
		q.ExpiresIn = new(k.expires.Seconds())
	}
	return q, nil
}

// keyCreate makes a key and prints it. The text alone goes to stdout, for scripts.
func keyCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Make a key, and print it: it is shown this once",
		Args: daemon.NoArgs, Example: "  longtake key create --name ci --team video \\\n" +
			"    --scopes videos:read,videos:write --quota queued=10,device-seconds=3600 --expires 720h"}
	var k keyFlags
	k.define(cmd.Flags())
	name := cmd.Flags().String("name", "", "what people call it")
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := access.CheckName("name", *name); err != nil {
			return daemon.Usagef("--%w", err)
		}
		q, err := k.change(cmd.Flags())
		if err != nil {
			return err
		}

		q.Name = *name
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		made, err := c.CreateKey(cmd.Context(), q)
		if err != nil {
			return err
		}
		return printText(cmd, made, *js)
	}
	return cmd
}

// printText prints the text of a key that was made or rotated. What to do with it goes to stderr.
func printText(cmd *cobra.Command, k schema.Key, js bool) error {
	if js {
		return terminal.JSON(cmd.OutOrStdout(), k)
	}
	terminal.Printf(cmd.ErrOrStderr(), "key %s (%s): %s\n", k.Name, k.ID, k.Scopes)
	if k.PreviousUntil > 0 {
		terminal.Printf(cmd.ErrOrStderr(), "the text from before works until %s\n",
			moment(k.PreviousUntil))
	}

	// A script takes the one line of stdout; a person reads both.
	terminal.Printf(cmd.ErrOrStderr(), "this is shown once; keep it in LONGTAKE_API_KEY, or in a "+
		"file that LONGTAKE_API_KEY_FILE names:\n")
	terminal.Printf(cmd.OutOrStdout(), "%s\n", k.Text)
	return nil
}

// keyList lists keys, those that were revoked, too. There are few enough of them for one page.
func keyList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List keys", Args: daemon.NoArgs}
	js := asJSON(cmd)
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, _ []string) ([]schema.Key,
		error) {
		return c.Keys(ctx)
	}, printKeys)
	return cmd
}

// keyShow shows one key.
func keyShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Short: "Show a key, by its name or id",
		Args: oneArg("NAME")}
	js := asJSON(cmd)
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, args []string) (schema.Key,
		error) {
		return c.Key(ctx, args[0])
	}, printKey)
	return cmd
}

// keyUpdate changes what a key may do. Flags that are not given leave it as it is, so that a change
// of the quota does not take away the team.
func keyUpdate() *cobra.Command {
	cmd := &cobra.Command{Use: "update NAME", Short: "Change the scopes, team, quota or end of a key",
		Args: oneArg("NAME")}
	var k keyFlags
	k.define(cmd.Flags())
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := k.change(cmd.Flags())
		if err != nil {
			return err
		}
		if q == (schema.KeyChange{}) {
			return daemon.Usagef("nothing is to be changed; allowed: --scopes, --team, --quota, --expires")
		}

		c, err := dial(cmd)
		if err != nil {
			return err
		}

		changed, err := c.ChangeKey(cmd.Context(), args[0], q)
		if err != nil {
			return err
		}
		return printKey(cmd.OutOrStdout(), changed, *js)
	}
	return cmd
}

// keyRotate gives a key another text.
func keyRotate() *cobra.Command {
	cmd := &cobra.Command{Use: "rotate NAME", Short: "Give a key another text, and print it",
		Long: `Give a key another text, and print it. It stays the same key: its jobs, scopes, team and
quota stay, and the text from before works for --overlap, so that nobody is locked out.`,
		Args: oneArg("NAME")}
	overlap := cmd.Flags().Duration("overlap", 24*time.Hour, "how long the text from before works")
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *overlap < 0 || *overlap > 30*24*time.Hour {
			return daemon.Usagef("--overlap is %v; allowed: 0s to 720h", *overlap)
		}

		c, err := dial(cmd)
		if err != nil {
			return err
		}
		k, err := c.RotateKey(cmd.Context(), args[0], *overlap)
		if err != nil {
			return err
		}
		return printText(cmd, k, *js)
	}
	return cmd
}

// keyRevoke ends a key. It asks no question: a key that got into wrong hands has to go at once, and
// another one is made in a moment.
func keyRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke NAME", Short: "End a key for good, at once",
		Args: oneArg("NAME")}
	js := asJSON(cmd)
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, args []string) (schema.Key,
		error) {
		return c.RevokeKey(ctx, args[0])
	}, printKey)
	return cmd
}

// printKeys prints a table, or an object a line. The id comes last: it is long, and of use mostly
// for job list --owner, which wants it as it is in jobs.
func printKeys(w io.Writer, all []schema.Key, js bool) error {
	if js {
		return terminal.Lines(w, all)
	}
	const head = "NAME\tSTATE\tTEAM\tSCOPES\tQUOTA\tEXPIRES\tLAST USED\tID"
	return terminal.Table(w, head, func(w io.Writer) {
		for _, k := range all {
			terminal.Printf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Name, k.State, dash(k.Team), k.Scopes,
				dash(k.Quota.String()), moment(k.Expires), moment(k.LastUsed), k.ID)
		}
	})
}

// printKey prints what there is of one key.
func printKey(w io.Writer, k schema.Key, js bool) error {
	if js {
		return terminal.JSON(w, k)
	}
	line := func(what, format string, args ...any) {
		terminal.Printf(w, "%-10s %s\n", what, fmt.Sprintf(format, args...))
	}

	line("key", "%s, %s", k.Name, k.State)
	line("id", "%s", k.ID)
	line("scopes", "%s", strings.ReplaceAll(k.Scopes.String(), ",", ", "))
	line("team", "%s", dash(k.Team))
	line("quota", "%s", dash(strings.ReplaceAll(k.Quota.String(), ",", ", ")))

	// Times come last, those that never come as a dash.
	line("created", "%s", moment(k.Created))
	line("expires", "%s", moment(k.Expires))
	line("last used", "%s", moment(k.LastUsed))
	if k.Revoked > 0 {
		line("revoked", "%s", moment(k.Revoked))
	} else if k.PreviousUntil > 0 {
		line("rotated", "the text from before works until %s", moment(k.PreviousUntil))
	}
	return nil
}

// moment is a time of the API in this machine's zone, a dash for none.
func moment(seconds int64) string {
	if seconds == 0 {
		return "-"
	}
	return time.Unix(seconds, 0).Local().Format(time.DateTime)
}
