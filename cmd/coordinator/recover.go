package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/daemon"
)

const recoverLong = `Make one coordinator's disk a cluster again, after the majority of its cluster
was lost for good. Stop it first. The jobs, checkpoints and results that it knows of are kept. What
only the others had is lost, so choose the coordinator that knows most.

To continue with this one alone, take raft.peers, raft.listen, nats.routes and nats.peers out of its
settings, and run:

  coordinator recover --config c1.yaml

To continue as a cluster, keep its settings and name only it here; then start it, start empty
coordinators with raft.join in place of those that are lost, under their names, and add them with
longtake cluster members add:

  coordinator recover --config c1.yaml --peers c1@10.0.0.1:7001=http://10.0.0.1:8080

Where several are left, name all that are left, and run it on each. A log or a snapshot that is
damaged is refused; with --drop-damaged what follows the damage is given up.`

// recoverCommand is for the worst day. It is a command of the coordinator's program and not of
// longtake, as it works on the data directory of a coordinator that is stopped, and asks no
// cluster. What was kept and dropped goes to stdout; whatever is refused is the error, and then
// nothing has changed on the disk.
func recoverCommand() *cobra.Command {
	var peers []string
	var drop bool
	cmd := daemon.Command("recover", "Restart a cluster whose majority is lost for good", recoverLong,
		config.Coordinator(), func(_ context.Context, v *config.Values, _ *slog.Logger) error {
			// It takes the settings that the coordinator has, so that names and addresses of the new cluster
			// are those under which it will start.
			cfg, err := read(v)
			if err != nil {
				return err
			}
			list, err := readPeers("--peers", peers)
			if err != nil {
				return err
			}

			r, err := coord.Recover(cfg, list, drop)
			if err != nil {
				return err
			}

			// The figures let an operator compare what several survivors hold before one is chosen.
			fmt.Fprintf(os.Stdout, "%s: %d jobs are known, up to entry %d; %d entries were dropped\n",
				cfg.Data, r.Jobs, r.Last, r.Dropped)
			for _, p := range r.Members {
				fmt.Fprintf(os.Stdout, "member %s %s\n", p.ID, p.Raft)
			}
			return nil
		})

	cmd.Flags().StringSliceVar(&peers, "peers", nil, "the coordinators of the cluster from now on, "+
		"as ID@RAFT_HOST:PORT=HTTP_URL (default: this one, alone)")
	cmd.Flags().BoolVar(&drop, "drop-damaged", false,
		"give up what cannot be read, and what follows it")
	return cmd
}
