package cli

import (
	"cmp"
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

const pkiHelp = `Certificates say who a process is. A cluster with certificates is locked: all its
ports speak TLS 1.3, and nobody else is talked to. init makes a new one, token lets a shard or a
further coordinator join, show lists what was signed. docs/security.md has the whole way.`

// pkiCommand makes a cluster's certificates and says who may join.
func pkiCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "pki", Short: "Lock a cluster: certificates, tokens to join",
		Long: pkiHelp}
	return group(cmd, pkiInit(), pkiToken(), pkiTokens(), pkiRevoke(), pkiShow(), pkiRotate())
}

const pkiTokenHelp = `Make a token with which one process may join the cluster, once, and print the
command to run on its machine. Whoever has the token can use it: send it as you would a password.

  longtake pki token --role shard
  longtake pki token --role shard --name gpu-7 --ttl 10m     # that name and no other
  longtake pki token --role coordinator --name c4

A name belongs to the process that has it as long as its certificate is valid. --name gives it to
whoever has the token, as after a disk was lost.`

// pkiToken makes a token. Its text is printed here and kept nowhere. The role is checked here, too,
// so that a typing error is a usage error also while no coordinator is there.
func pkiToken() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Let one process join: print a token and its command",
		Long: pkiTokenHelp, Args: daemon.NoArgs}
	role := cmd.Flags().String("role", "", "shard or coordinator (required)")
	name := cmd.Flags().String("name", "", "the only name that may use it (default: any free one)")
	ttl := cmd.Flags().Duration("ttl", time.Hour, "how long it may be used, from 1m to 168h")
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := load(cmd)
		if err != nil {
			return err
		}
		if *role != "shard" && *role != "coordinator" {
			return daemon.Usagef("--role is %.32q; allowed: shard, coordinator", *role)
		}

		c, err := dial(cmd)
		if err != nil {
			return err
		}

		// The coordinator bounds the time; its error names the field, which is the flag.
		t, err := c.NewToken(cmd.Context(),
			schema.TokenRequest{Role: *role, Name: *name, TTL: ttl.Seconds()})
		if err != nil {
			return inFlags(err)
		}
		if *js {
			return terminal.JSON(cmd.OutOrStdout(), t)
		}
		printJoin(cmd.OutOrStdout(), t, v.String("coordinator"))
		return nil
	}

	return cmd
}

// printJoin prints the command that uses a token. What only the other machine knows, such as the
// address at which other shards reach it, stands in capitals.
func printJoin(w io.Writer, t schema.JoinToken, url string) {
	if url == "" {
		url = defaultURL
	}
	terminal.Printf(w, "# token %s, for one %s, until %s\n", t.ID, t.Role,
		t.Expires.Local().Format(time.DateTime))
	name, rest := "", " --data-listen HOST:6222"
	if t.Name != "" {
		name = " --name " + t.Name
	}
	if t.Role == "coordinator" {
		name, rest = " --id "+cmp.Or(t.Name, "NAME"), " --config FILE   # with raft.join: true"
	}
	terminal.Printf(w, "%s%s --join %s \\\n  --coordinator %s --tls-dir /var/lib/longtake/tls%s\n",
		t.Role, name, t.Text, url, rest)

	// It waits until it is a member: a token alone gives no vote.
	if t.Role == "coordinator" {
		terminal.Printf(w, "longtake cluster members add %s --raft HOST:7001 --http https://HOST:8080\n",
			cmp.Or(t.Name, "NAME"))
	}
}

// pkiTokens lists tokens, and takes one back. A token that was used is listed with who used it: a
// name that nobody expects there is the first sign of one that got into wrong hands.
func pkiTokens() *cobra.Command {
	cmd := &cobra.Command{Use: "tokens", Short: "List tokens, or take one back", Args: daemon.NoArgs,
		Long: `List the tokens that were made, without their texts, which are kept nowhere. One that has
expired is listed for an hour more.

  longtake pki tokens
  longtake pki tokens --void t-1a2b3c4d`}
	void := cmd.Flags().String("void", "", "ID of a token that is not to be used any more")
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		// What is listed then no longer has it.
		if *void != "" {
			if err := c.VoidToken(cmd.Context(), *void); err != nil {
				return err
			}
		}
		a, err := c.Authority(cmd.Context())
		if err != nil {
			return err
		}
		if *js {
			return terminal.Lines(cmd.OutOrStdout(), a.Tokens)
		}
		return terminal.Table(cmd.OutOrStdout(), "ID\tROLE\tFOR\tEXPIRES\tUSED BY", func(w io.Writer) {
			for _, t := range a.Tokens {
				terminal.Printf(w, "%s\t%s\t%s\t%s\t%s\n", t.ID, t.Role, cmp.Or(t.Name, "any"),
					t.Expires.Local().Format(time.DateTime), dash(t.By))
			}
		})
	}

	return cmd
}

const pkiRevokeHelp = `Refuse a process by the name in its certificate, whichever certificates it
has: nobody connects to it, what is connected is cut off, and it can neither renew nor join. A
coordinator is also to be removed from the members (longtake cluster members remove).

  longtake pki revoke gpu-7
  longtake pki revoke gpu-7 --undo`

// pkiRevoke refuses an identity from now on. It asks for no confirmation, as --undo takes it back
// and a stolen certificate is a matter of seconds.
func pkiRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke NAME", Short: "Refuse a shard or coordinator from now on",
		Args: oneArg("NAME"), Long: pkiRevokeHelp}
	role := cmd.Flags().String("role", "shard", "shard or coordinator")
	undo := cmd.Flags().Bool("undo", false, "let it in again")
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *role != "shard" && *role != "coordinator" {
			return daemon.Usagef("--role is %.32q; allowed: shard, coordinator", *role)
		}
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		d := schema.Denied{Role: *role, Name: args[0]}
		if err := c.Revoke(cmd.Context(), d, *undo); err != nil {
			return err
		}

		if *js {
			return terminal.JSON(cmd.OutOrStdout(), d)
		}
		what := "is refused from now on"
		if *undo {
			what = "is let in again"
		}
		terminal.Printf(cmd.OutOrStdout(), "%s %s %s\n", *role, args[0], what)
		return nil
	}

	return cmd
}

// pkiShow lists CAs and certificates. Certificates that another PKI has signed are in no list: the
// cluster sees them only as they are shown.
func pkiShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "List CAs, certificates and who was revoked",
		Args: daemon.NoArgs}
	js := asJSON(cmd)
	// Only the leader knows it; a follower sends the client on.
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, _ []string) (schema.Authority,
		error) {
		return c.Authority(ctx)
	}, printAuthority)
	return cmd
}

const pkiRotateHelp = `Have a new CA sign from now on. Both CAs count until no certificate of the
one before is valid any more; each process gets one of the new CA within minutes, without a restart.
Tokens that were not used are void. --drop has the one before it not count any more, at once:
whoever has no certificate of the new one by then (longtake pki show) has to join again.`

// pkiRotate has another CA sign. Nothing has to be told to the processes: they ask for it, and get
// their next certificates one after the other.
func pkiRotate() *cobra.Command {
	cmd := &cobra.Command{Use: "rotate", Short: "Have a new CA sign from now on",
		Long: pkiRotateHelp, Args: daemon.NoArgs}
	drop := cmd.Flags().Bool("drop", false, "forget the CA before the one that signs, at once")
	js := asJSON(cmd)
	// The answer has both CAs, so that it shows until when the one before counts.
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, _ []string) (schema.Authority,
		error) {
		return c.Rotate(ctx, *drop)
	}, printAuthority)
	return cmd
}

// printAuthority prints a line for each CA, then one for each certificate. Times are in the time
// zone of who looks, as all tables have them.
func printAuthority(w io.Writer, a schema.Authority, js bool) error {
	if js {
		return terminal.JSON(w, a)
	}
	terminal.Printf(w, "cluster %s\n", dash(a.Cluster))
	if len(a.CAs) == 0 {
		terminal.Printf(w, "it has no CA of its own: its certificates come from another PKI\n")
	}

	for _, ca := range a.CAs {
		what := "signs"
		if !ca.Signs {
			what = "counts until " + ca.Needed.Local().Format(time.DateTime)
		}
		terminal.Printf(w, "CA %s, until %s, %s\n", short16(ca.SHA256),
			ca.Expires.Local().Format(time.DateOnly), what)
	}

	// Who was revoked comes before the long table.
	for _, d := range a.Denied {
		terminal.Printf(w, "revoked: %s %s, %s\n", d.Role, d.Name, d.At.Local().Format(time.DateTime))
	}

	return terminal.Table(w, "ROLE\tNAME\tEXPIRES\tCA\tSTATE", func(w io.Writer) {
		for _, i := range a.Issued {
			state := "valid"
			if i.Revoked {
				state = "revoked"
			}
			terminal.Printf(w, "%s\t%s\t%s\t%s\t%s\n", i.Role, i.Name,
				i.Expires.Local().Format(time.DateTime), short16(i.CA), state)
		}
	})
}

// short16 is the beginning of a SHA-256, by which people tell CAs apart. Whoever compares one with
// a token or a file takes --json, which has it whole.
func short16(sum string) string { return strings.ToLower(sum[:min(len(sum), 16)]) }
