package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

const nodeListHelp = `List registered shards. MODELS are those that a shard has: * is loaded, + is
being loaded, and "(1 refused)" counts those of which it runs no jobs; --json says why.`

// nodeCommand looks at shards and takes them out of use. The API calls a registered shard a node.
// All answers come from the leader, at which shards register. A drained shard stays listed.
func nodeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "Look at the shards, take them out and back in"}
	return group(cmd, nodeList(), nodeStatus(), nodeDrain(), nodeUndrain())
}

// nodeList shows all shards; a coordinator that does not lead sends the client on to the leader,
// which alone knows them.
func nodeList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List registered shards", Long: nodeListHelp,
		Args: daemon.NoArgs}
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		nodes, err := nodes(cmd)
		if err != nil {
			return err
		}
		return printNodes(cmd.OutOrStdout(), nodes, *js)
	}
	return cmd
}

// nodeStatus shows one shard, or several that run under one name. The API has no route for one
// shard, so the list is asked for and searched.
func nodeStatus() *cobra.Command {
	cmd := &cobra.Command{Use: "status NAME", Short: "Show a shard, by its name or id",
		Args: oneArg("NAME")}
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		found, err := findNodes(cmd, args[0])
		if err != nil {
			return err
		}
		return printNodes(cmd.OutOrStdout(), found, *js)
	}
	return cmd
}

// A drain is not a stop: it ends with the shard idle and registered.
const drainHelp = `Take a shard out of use, to service or stop its machine. It gets no new work.
Clips that it works on move to other shards at the end of their step and lose nothing; when the
deadline has passed, or with --force, they move at once and the step under way is computed again.

The command waits until the shard is free; it stays registered, as "drained", until its process ends
or longtake node undrain lets it work again. SIGTERM to a shard's process drains it as well.`

// nodeDrain asks the coordinators to take a shard out of use and waits until it has nothing to do.
// Interrupting the command does not take the request back: its error says so.
func nodeDrain() *cobra.Command {
	cmd := &cobra.Command{Use: "drain NAME", Short: "Take a shard out of use, by its name or id",
		Long: drainHelp, Args: oneArg("NAME")}
	deadline := cmd.Flags().Duration("deadline", time.Minute, "how long it may finish its step")
	force := cmd.Flags().Bool("force", false, "do not wait for a step boundary")
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		if *deadline < 0 || *deadline > 24*time.Hour {
			return daemon.Usagef("--deadline is %v; allowed: 0s to 24h", *deadline)
		}

		// The API has no flag for force: a deadline of 0 means the same.
		if *force {
			*deadline = 0
		}

		// The answer says "draining" while a step is under way; then the shard is asked for by its
		// id, as its name may be taken by a new process in the meantime.
		n, err := c.Drain(cmd.Context(), args[0], *deadline)
		for err == nil && n.State == "draining" {
			if err := client.Pause(cmd.Context(), drainPoll); err != nil {
				return fmt.Errorf("shard %s is still at work on job %s, and goes on being drained: %w",
					n.Name, n.Job, err)
			}
			var found []schema.Node
			if found, err = findNodes(cmd, string(n.ID)); err == nil {
				n = found[0] // ids are unique
			}
		}
		if err != nil {
			return err
		}
		return printNodes(cmd.OutOrStdout(), []schema.Node{n}, *js)
	}
	return cmd
}

// drainPoll is how often a drain is looked at. A step takes seconds at least. The poll costs the
// leader one list of shards.
const drainPoll = 200 * time.Millisecond

// nodeUndrain takes a drain back, also one that is still under way. Clips that have moved do not
// come back; the shard is free for the next ones.
func nodeUndrain() *cobra.Command {
	cmd := &cobra.Command{Use: "undrain NAME", Short: "Let a drained shard work again",
		Args: oneArg("NAME")}
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		n, err := c.Undrain(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return printNodes(cmd.OutOrStdout(), []schema.Node{n}, *js)
	}
	return cmd
}

// findNodes returns the shards of a name or an id, at least one. Two processes may have one name,
// while the old one is not yet known to be gone; one that has been gone for longer than lost-after
// is not listed any more.
func findNodes(cmd *cobra.Command, name string) (found []schema.Node, err error) {
	all, err := nodes(cmd)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if n.Name == name || string(n.ID) == name {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no shard is called %q; see longtake node list", name)
	}
	return found, nil
}

// nodes asks the coordinators for all registered shards.
func nodes(cmd *cobra.Command) ([]schema.Node, error) {
	c, err := dial(cmd)
	if err != nil {
		return nil, err
	}
	return c.Nodes(cmd.Context())
}

// printNodes prints a table, or an object a line with --json. MODELS are those that it runs jobs
// of: see modelsOf. MEMORY is what the shard's process takes now, UPTIME and SEEN are counted from
// this moment. IDENTITY is the name in its certificate, where it calls itself something else.
func printNodes(w io.Writer, nodes []schema.Node, js bool) error {
	if js {
		return terminal.Lines(w, nodes)
	}
	const head = "NAME\tSTATE\tJOB\tMODELS\tDEVICE\tTHREADS\tMEMORY\tVERSION\tHOST\tRACK\t" +
		"ADDRESS\tUPTIME\tSEEN\tID\tIDENTITY"
	return terminal.Table(w, head, func(w io.Writer) {
		for _, n := range nodes {
			terminal.Printf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s ago\t%s\t%s\n",
				n.Name, n.State, dash(string(n.Job)), modelsOf(n), n.Device, n.Threads, size(n.RSS),
				dash(n.Version), dash(n.Host), dash(n.Rack), address(n.Route), age(n.Started),
				n.LastSeen.Round(time.Millisecond), n.ID, identity(n))
		}
	})
}

// identity is the name in a shard's certificate, unless that is also what it calls itself.
func identity(n schema.Node) string {
	if n.Identity == n.Name {
		return dash("")
	}
	return dash(n.Identity)
}

// address is the host and port of a route, without the name and password that may stand before
// them.
func address(route string) string {
	_, at, _ := strings.Cut(route, "://")
	return dash(at[strings.LastIndexByte(at, '@')+1:])
}

// dash stands for an empty cell of a table, so that columns stay countable for scripts.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
