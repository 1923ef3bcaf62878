package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/config"
)

func upCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "up", Short: "Run a whole cluster in this process, until Ctrl-C",
		Long: `Run a whole cluster in this process, until Ctrl-C: a coordinator with its HTTP API, and
shards. Jobs and clips stay in --data, so they are there again after the next start.

  longtake up --shards 2
  longtake generate --coordinator ` + defaultURL + ` --seed 4 \
    -p "a yellow balloon rising over a city at night"`,
		Args: noArgs}
	settings := append(config.Up(), config.Local()...)
	settings.Define(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := load(cmd, settings)
		if err != nil {
			return err
		}
		log, err := logger(v, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		c, err := readLocal(v, 0, log)
		if err != nil {
			return err
		}
		c.Listen, c.Data = v.String("listen"), v.String("data")
		c.Hosts, c.Origins = v.Strings("http.hosts"), v.Strings("http.cors-origins")
		if err := api.CheckAccess(c.Hosts, c.Origins); err != nil {
			return usage("%w", err)
		}
		if c.Clients, err = ReadClients(v); err != nil {
			return err
		}
		if err := ReadStorage(v, &c.Storage); err != nil {
			return err
		}
		cluster, err := startLocal(cmd.Context(), c)
		if err != nil {
			return err
		}
		printNotices(cmd.ErrOrStderr(), cluster.model().Notices)
		printf(cmd.OutOrStdout(), "%s with %s each; the API is at %s; Ctrl-C stops\n",
			count(c.Shards, "shard"), count(c.Threads, "thread"), cluster.URL)
		select {
		case <-cmd.Context().Done():
		case <-cluster.coord.Ended():
			err = cluster.coord.Err()
		case err = <-cluster.served:
			cluster.served <- err
			err = errors.Join(errors.New("the API has stopped"), err)
		}
		return errors.Join(err, cluster.Close())
	}
	return cmd
}
