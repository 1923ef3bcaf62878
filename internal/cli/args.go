package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
)

// group makes cmd a command of commands: alone it shows its help. A command that it does not have
// is refused, with those whose names are near, or with the way to generate a clip. The error is bad
// input (exit code 2): a typo in a script should not pass for a command that printed help and
// succeeded.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(commands...)
	// Two edits: a wrong letter or two that changed places, as in lsit.
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}

		near := cmd.SuggestionsFor(args[0])
		switch {
		case len(near) > 0:
			return daemon.Usagef("unknown command %q; did you mean %q?", args[0], strings.Join(near,
				`" or "`))
		case cmd.HasParent():
			return daemon.Usagef("unknown command %q", args[0])
		}
		// At the root, what is no command is most often a prompt.
		return daemon.Usagef(`unknown command %q; for a clip of that say: longtake generate -p "..."`,
			args[0])
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// promptInFlag refuses arguments of a command whose text belongs into a flag: a prompt without
// quotes comes as one argument a word. The error names the first word only; what comes after it
// would be the rest of the prompt.
func promptInFlag(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return daemon.Usagef(`%q is no flag; the prompt is given with -p, in quotes: -p "a red ball"`,
			args[0])
	}
	return nil
}

// oneArg wants exactly one argument, and calls it what in errors. It takes the place of cobra's own
// check, whose words ("accepts 1 arg(s)") name no argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return daemon.Usagef("the %s is missing: %s %s", what, cmd.CommandPath(), what)
		case len(args) > 1:
			return daemon.Usagef("%q is one argument too many: %s takes one %s", args[1], cmd.CommandPath(),
				what)
		}
		return nil
	}
}

// oneJob wants the id of a job. Ids become parts of URLs and names of files, so anything else is
// refused before it is either. Without this check, job fetch would write the clip of ../other into
// another folder.
func oneJob(cmd *cobra.Command, args []string) error {
	if err := oneArg("ID")(cmd, args); err != nil {
		return err
	}
	if job.CheckID(job.ID(args[0])) != nil {
		return daemon.Usagef("ID is %.64q; allowed: the id of a job, as longtake job list shows it",
			args[0])
	}
	return nil
}

// jobID is the argument of a command that oneJob has checked.
func jobID(args []string) job.ID { return job.ID(args[0]) }
