package cli

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

// defaultURL is where `longtake up` and the shipped configuration listen.
// A command without a coordinator in its settings asks there.
const defaultURL = "http://127.0.0.1:8080"

// rootHelp is what `longtake` alone prints: the one command to try first, and where to go from
// there.
const rootHelp = `longtake generates video from text with the open Wan models, split over shards.

  longtake generate -p "a red ball bouncing over the sea at sunset"

starts a whole cluster in this process, makes clip.webm with it and stops it. For a
cluster that stays, run "longtake up", or one coordinator and any number of shards.

Commands that need a coordinator take its URL from --coordinator or LONGTAKE_URL, else
` + defaultURL + `. On this machine they need no key. Other coordinators are locked: they have
https URLs, and take LONGTAKE_CA (their ca.crt) and LONGTAKE_API_KEY or LONGTAKE_API_KEY_FILE.

Exit codes: 0 done, 1 failed, 2 the request was wrong, 3 it fits no device (plan),
130 interrupted.`

// Longtake returns the command longtake with all commands below it. daemon.Main runs it.
// --coordinator is a flag of all commands below it, so it may stand before or after a command's
// name.
func Longtake() *cobra.Command {
	root := &cobra.Command{Use: "longtake", Short: "Distributed video generation", Long: rootHelp,
		Version: daemon.Version}
	config.Client().Define(root.PersistentFlags())
	return group(root, generateCommand(), upCommand(), jobCommand(), nodeCommand(), clusterCommand(),
		pkiCommand(), keyCommand(), teamCommand(), quotaCommand(),
		planCommand(), simulateCommand(), pricingCommand(), usageCommand(), modelCommand(),
		benchCommand(), configCommand(), auditCommand(), rolloutCommand(),
		&cobra.Command{Use: "version", Short: "Print the version", Args: daemon.NoArgs,
			Run: func(cmd *cobra.Command, _ []string) {
				terminal.Printf(cmd.OutOrStdout(), "%s\n",
					daemon.Version)
			}})
}

// load reads the settings of a client, and more: flags win over environment variables, those over
// defaults. A value that is not allowed is a usage error. There is no file of settings for clients,
// hence the empty path.
func load(cmd *cobra.Command, more ...config.Settings) (*config.Values, error) {
	s := config.Client()
	for _, m := range more {
		s = append(s, m...)
	}
	return config.Load(s, cmd.Flags(), "")
}

// dial returns a client of the coordinator that the settings name, or of the one at defaultURL. It
// does not connect: the first request does. So a malformed URL is a usage error at once, while a
// coordinator that is away is an error of that request, after the client has tried for a while.
func dial(cmd *cobra.Command) (*client.Client, error) {
	v, err := load(cmd)
	if err != nil {
		return nil, err
	}
	url := v.String("coordinator")
	if url == "" {
		url = defaultURL
	}
	return clientOf(v, url)
}

// answer is what a command does that asks the coordinator of the settings one thing, and prints
// what it answers: for people, or as JSON if js says so once the flags are read.
func answer[T any](js *bool, ask func(context.Context, *client.Client, []string) (T, error),
	show func(io.Writer, T, bool) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		v, err := ask(cmd.Context(), c, args)
		if err != nil {
			return err
		}
		return show(cmd.OutOrStdout(), v, *js)
	}
}

// asJSON adds --json to a command that prints; scripts get the API's own names. Tables may change
// from version to version; the JSON keeps what the API promises.
func asJSON(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON, one object a line")
}

// printNotices tells, on stderr, what is other than was asked for or was left out. They are
// warnings: the exit code stays 0, and stdout stays clean for scripts.
func printNotices(w io.Writer, notices []string) {
	for _, n := range notices {
		terminal.Printf(w, "notice: %s\n", n)
	}
}

// configCommand shows the settings in force, each with its source, so that nobody has to guess
// which of four places wins. It asks no coordinator: it reads what a program of that role would
// read here, in this environment and from this file.
func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at settings"}
	show := &cobra.Command{Use: "show", Short: "Print every setting in force and where it came from",
		Long: `Print every setting in force and where it came from: a flag wins over an environment
variable, that over a line of the file, that over the default.

  longtake config show
  longtake config show --role coordinator --config configs/coordinator.yaml`,
		Args: daemon.NoArgs}
	role := show.Flags().String("role", "longtake", "whose settings: longtake (its commands, up"+
		" among them), coordinator or shard")
	file := show.Flags().String("config", "", "YAML file of a coordinator's or shard's settings")
	js := asJSON(show)

	show.RunE = func(cmd *cobra.Command, _ []string) error {
		roles := map[string]config.Settings{"coordinator": config.Coordinator(),
			"shard":    config.Shard(),
			"longtake": slices.Concat(config.Client(), config.Local(), config.Up())}
		s, ok := roles[*role]
		if !ok {
			return daemon.Usagef("--role is %q; allowed: longtake, coordinator, shard", *role)
		}
		// Only inherited flags are settings; --role and --config are not.
		v, err := config.Load(s, show.InheritedFlags(), *file)
		if err != nil {
			return err
		}
		return daemon.PrintConfig(cmd.OutOrStdout(), v, *js)
	}
	return group(cmd, show)
}
