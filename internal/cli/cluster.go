package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/userfile"
)

// clusterCommand looks at the coordinators and changes who they are. "cluster members" is a list
// and has commands below it, too.
func clusterCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Look at the coordinators, and change them"}
	return group(cmd,
		clusterView("status", "Show what the coordinator knows of itself and the cluster", printStatus),
		membersCommand(), transferCommand(), snapshotCommand())
}

// clusterView is a command that shows the cluster's status in one way. It asks the coordinator that
// the settings name, not the leader: what one coordinator sees of the cluster is what an operator
// checks after a fault. With --json the answer is printed as it came; its number of shards counts
// on the leader alone.
func clusterView(name, short string, show func(io.Writer, schema.Status) error) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: daemon.NoArgs}
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		s, err := c.Cluster(cmd.Context())
		if err != nil {
			return err
		}
		if *js {
			return terminal.JSON(cmd.OutOrStdout(), s)
		}

		// Only people get the second question to the leader, so that scripts have one request and its
		// answer.
		if s.Nodes, err = shardsOf(cmd.Context(), c, s); err != nil {
			return err
		}
		return show(cmd.OutOrStdout(), s)
	}
	return cmd
}

// shardsOf returns how many shards are registered. Only the leader knows; where it does not answer,
// -1 stands for unknown and the rest of the status is shown all the same.
func shardsOf(ctx context.Context, c *client.Client, s schema.Status) (int, error) {
	if s.Leads() {
		return s.Nodes, nil
	}
	list, err := c.Nodes(ctx) // is sent on to the leader
	// A coordinator that refuses and one that cannot be reached are news for the table; an
	// interruption is an error of the command.
	var refused *schema.Error
	var away *client.UnreachableError
	if errors.As(err, &refused) || errors.As(err, &away) {
		return -1, nil
	}
	return len(list), err
}

// printStatus prints a line for each thing that an operator looks at first.
func printStatus(w io.Writer, s schema.Status) error {
	line := func(key, format string, args ...any) {
		terminal.Printf(w, "%-12s %s\n", key, fmt.Sprintf(format, args...))
	}
	// Leader and term come early: where coordinators disagree on them, one is cut off or behind.
	line("coordinator", "%s (%s), longtake %s", s.ID, strings.ToLower(s.State), s.Version)
	line("leader", "%s, term %d", dash(s.Leader), s.Term)
	line("log", "applied %d of %d", s.Applied, s.LastIndex)
	if s.Upgrading != "" {
		line("upgrade", "%s; the coordinators use version %d of commands for now", s.Upgrading,
			s.Commands)
	}
	line("nats", "%s", dash(s.NATS))
	line("models", "%s", dash(strings.Join(s.Models, ", ")))

	if s.Nodes < 0 {
		line("shards", "known to the leader%s, which does not answer", leaderURL(s))
	} else {
		line("shards", "%d", s.Nodes)
	}
	line("store", "%s", describeSpace(s.Space))
	line("jobs", "%d queued, %d running, %d kept", s.Queued, s.Running, s.Jobs)
	return nil
}

// leaderURL is how to reach the leader's API, as words to add to a sentence; "" where it is not
// known.
func leaderURL(s schema.Status) string {
	for _, m := range s.Members {
		if m.Leader && m.HTTP != "" {
			return ": --coordinator " + m.HTTP
		}
	}
	return ""
}

// describeSpace says what is stored and what there is room for. A full store is said loudly:
// clients are being refused.
func describeSpace(s schema.Space) string {
	size := func(n int64) string { return size(uint64(max(n, 0))) } //nolint:gosec // from 0
	quota := ""
	if s.Quota > 0 {
		quota = " of " + size(s.Quota)
	}
	text := fmt.Sprintf("%s%s; %s of %s are free on the disk, %s of them kept back", size(s.Objects),
		quota, size(s.Free), size(s.Total), size(s.Reserve))
	if s.Full != "" {
		text += "\n             NO MORE JOBS ARE TAKEN: " + s.Full
	}
	return text
}

// printMembers lists the coordinators. How far each has got is known to the leader alone.
func printMembers(w io.Writer, s schema.Status) error {
	leads := s.ID == s.Leader
	return terminal.Table(w, "ID\tROLE\tSTATE\tRAFT\tHTTP", func(w io.Writer) {
		for _, m := range s.Members {
			// What the leader alone knows is left open in the list of another.
			role, state := "follower", "-"

			switch {
			case m.Leader:
				role = "leader"
			case !m.Voter:
				role = "catching up"
			}
			switch {
			case leads && !m.Reached:
				state = "out of reach"
			case leads && m.Behind > 0:
				state = fmt.Sprintf("%d entries behind", m.Behind)
			case leads:
				state = "up to date"
			}
			terminal.Printf(w, "%s\t%s\t%s\t%s\t%s\n", m.ID, role, state, dash(m.Raft), dash(m.HTTP))
		}
	})
}

// Changes of membership are where clusters are lost; the help has the whole procedure.
const membersHelp = `List the coordinators, add one or take one out.

A coordinator is added in two steps: start its process with --raft-join, with itself and the others
in raft.peers and nats.peers; then, at any member:

  longtake cluster members add c4 --raft 10.0.0.4:7001 --http http://10.0.0.4:8080

It has to answer at that address. It votes, and counts for a majority, once it has caught up with
the others; until then it is listed as catching up. To replace one that is dead, remove it first.
The leader is not removed; transfer the leadership. Nor is one without which no majority is in
reach, unless you say --force.`

// membersCommand lists the coordinators; its commands add one or take one out. The address of the
// Raft is asked for, and not guessed: the leader connects to it before it adds the coordinator. The
// URL of the API is optional, since the cluster works without it; only clients that ask a follower
// need it.
func membersCommand() *cobra.Command {
	cmd := clusterView("members", "List the coordinators, add or remove one", printMembers)
	cmd.Long = membersHelp
	add := &cobra.Command{Use: "add ID", Short: "Add a coordinator that runs with --raft-join",
		Args: oneArg("ID")}
	raft := add.Flags().String("raft", "", "host:port at which the others reach its Raft (required)")
	http := add.Flags().String("http", "", "URL of its API, for clients")
	clusterChange(add, func(ctx context.Context, c *client.Client, args []string,
	) (schema.Status, error) {
		if *raft == "" {
			return schema.Status{},
				daemon.Usagef("--raft is missing: the host:port of the coordinator's Raft")
		}
		return c.AddMember(ctx, schema.Peer{ID: args[0], Raft: *raft, HTTP: *http})
	})

	remove := &cobra.Command{Use: "remove ID", Short: "Take a coordinator out",
		Args: oneArg("ID")}
	force := remove.Flags().Bool("force", false, "even if no majority of the others is in reach")
	clusterChange(remove, func(ctx context.Context, c *client.Client, args []string,
	) (schema.Status, error) {
		return c.RemoveMember(ctx, args[0], *force)
	})
	cmd.AddCommand(add, remove)
	return cmd
}

// transferCommand hands the leadership over, for a restart of the leader without an election.
// Without an ID the leader chooses.
func transferCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "transfer-leader [ID]",
		Short: "Hand the leadership to a coordinator, or to any other", Args: cobra.MaximumNArgs(1)}
	clusterChange(cmd, func(ctx context.Context, c *client.Client, args []string,
	) (schema.Status, error) {
		// At most one argument, so joining is the argument or "".
		return c.TransferLeader(ctx, strings.Join(args, ""))
	})
	return cmd
}

// clusterChange gives cmd the work of changing the cluster by do, after which it lists the
// coordinators as they are then. A follower sends the client on to the leader. An error means that
// the change was refused, or that nobody confirmed it: then `cluster members` shows whether it was
// made.
func clusterChange(cmd *cobra.Command,
	do func(context.Context, *client.Client, []string) (schema.Status, error)) {
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		s, err := do(cmd.Context(), c, args)
		if err != nil {
			return err
		}
		if *js {
			return terminal.JSON(cmd.OutOrStdout(), s)
		}
		return printMembers(cmd.OutOrStdout(), s)
	}
}

const snapshotHelp = `Save all that the coordinators have decided to a file: jobs, their states and
checkpoints; or replace it by a saved one. The objects themselves, videos, latents and checkpoints,
are not in it; they stay where they are stored.`

// snapshotCommand saves and restores the coordinators' state, for moving a cluster and for
// disasters.
func snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "snapshot", Short: "Save or restore what was decided",
		Long: snapshotHelp}
	save := &cobra.Command{Use: "save FILE", Short: "Write a snapshot", Args: oneArg("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := dial(cmd)
			if err != nil {
				return err
			}
			return saveSnapshot(cmd.Context(), c, args[0])
		}}

	restore := &cobra.Command{Use: "restore FILE", Args: oneArg("FILE"),
		Short: "Replace what was decided by a snapshot; what came after it is forgotten"}
	clusterChange(restore, func(ctx context.Context, c *client.Client, args []string,
	) (schema.Status, error) {
		// The limit is the coordinator's own: a larger file would be sent only to be refused.
		data, err := userfile.Read(args[0], coord.SnapshotMax)
		if err != nil {
			return schema.Status{}, fmt.Errorf("cannot read the snapshot: %w", err)
		}
		return c.Restore(ctx, data)
	})
	return group(cmd, save, restore)
}

// saveSnapshot writes a whole file, or none: a snapshot that was cut off would be found to be one
// only when it is needed. The file is readable for its owner alone, as prompts are in it.
func saveSnapshot(ctx context.Context, c *client.Client, path string) error {
	r, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	// All of it is read before a file is touched; the server has bounded it.
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("cannot read the snapshot: %w", err)
	}
	if err := os.WriteFile(path+".part", data, 0o600); err != nil {
		return fmt.Errorf("cannot write the snapshot: %w", err)
	}
	return os.Rename(path+".part", path)
}
