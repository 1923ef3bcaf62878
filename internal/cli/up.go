package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/shard"
	"github.com/longtake/longtake/internal/terminal"
)

// upCommand runs a cluster in this process until a signal comes, or until it cannot go on, which is
// the error then. The one line on stdout says where the API is, once every shard is registered; the
// log goes to stderr. A signal ends it with exit code 0, as that is how it is meant to end.
func upCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "up", Short: "Run a whole cluster in this process, until Ctrl-C",
		Long: `Run a whole cluster in this process, until Ctrl-C: a coordinator with its HTTP API, and
shards. Jobs and clips stay in --data, so they are there again after the next start. Where this
program was built by "make cuda" and the machine has NVIDIA GPUs, each of them is a shard.

  longtake up --shards 2
  longtake up --device cuda:0,1                           # two of the machine's GPUs
  longtake up --model models/A --model b=models/Wan2.2    # requests name A or b; A is the default
  longtake generate --coordinator ` + defaultURL + ` --seed 4 \
    -p "a yellow balloon rising over a city at night"`,
		Args: daemon.NoArgs}

	settings := append(config.Up(), config.Local()...)
	settings.Define(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := load(cmd, settings)
		if err != nil {
			return err
		}
		log, err := daemon.Logger(v, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		// 0: no request asks for a number of shards here.
		c, err := local.Read(v, 0, log)
		if err != nil {
			return err
		}

		if err := readUp(v, &c); err != nil {
			return err
		}
		defer c.Identity.Close()
		if c.Insecure != "" {
			printNotices(cmd.ErrOrStderr(), []string{c.Insecure}) // the log shows errors alone
		}

		// The settings are checked by now, but for --data, which Start creates: most errors from here on
		// are failures and no mistakes.
		c.Listening = func() error {
			return printComputing(cmd.ErrOrStderr(), c, c.DefaultDType())
		}
		cluster, err := local.Start(cmd.Context(), c)
		if err != nil {
			return err
		}

		for _, m := range cluster.Models() {
			printNotices(cmd.ErrOrStderr(), m.Notices)
		}
		terminal.Printf(cmd.OutOrStdout(), "%s with %s; the API is at %s; Ctrl-C stops\n",
			count(c.Shards, "shard"), shareOf(c), cluster.URL)
		// Ctrl-C ends the wait without an error.
		err = cluster.Wait(cmd.Context())
		return errors.Join(err, cluster.Close())
	}
	return cmd
}

// readUp reads what a coordinator of its own process reads of its settings, too.
func readUp(v *config.Values, c *local.Config) (err error) {
	c.Listen, c.Data = v.String("listen"), v.String("data")
	c.Hosts, c.Origins = v.Strings("http.hosts"), v.Strings("http.cors-origins")
	if err := api.CheckAccess(c.Hosts, c.Origins); err != nil {
		return err
	}
	if c.LoRAs, err = shard.ReadLoRAs(v.Strings("loras")); err != nil {
		return err
	}
	if c.Clients, err = api.ReadClients(v); err != nil {
		return err
	}

	// Who it is on the network, and whether that matters here.
	c.Insecure = v.Insecure()
	if c.Identity, err = daemon.Identity(v, pki.RoleCoordinator, c.Log); err != nil {
		return err
	}

	// Who else may use it.
	c.LocalKey = c.Identity == nil
	if c.Auth, err = api.ReadAuth(v, c.Listen); err != nil {
		return err
	}
	return coord.ReadStorage(v, &c.Storage)
}
