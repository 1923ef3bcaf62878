// Package daemon runs the process of a command: its arguments, signals, log and exit code. The
// commands themselves are built elsewhere; nothing here knows what they do. All three programs end
// in the same way: one line on stderr that says what went wrong, and a code that tells a mistake in
// what was asked for (2) from a failure (1) and from an interruption (130). The first signal asks a
// command to stop, the second ends the process.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/terminal"
)

// Version of the program; the build sets it.
var Version = "unknown"

// Exit codes of every command. ExitUnfit is that of an answer that was found and is no: what was
// asked for is in order, and cannot be on the devices that there are. ExitInterrupted is what a
// shell reports for SIGINT, 128 + 2.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitBadRequest  = 2
	ExitUnfit       = 3
	ExitInterrupted = 130
)

// usageError is a mistake in what was asked for.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// BadInput marks the error for exitCode.
func (e *usageError) BadInput() bool { return true }

// Usage marks an error as a mistake in what was asked for: the process exits with code 2.
func Usage(err error) error { return &usageError{err} }

// Usagef returns such an error, formatted as fmt.Errorf does.
func Usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// unfit is an answer that is no.
type unfit struct{ error }

// Unfitf returns an error of ExitUnfit, formatted as fmt.Errorf does.
func Unfitf(format string, args ...any) error { return unfit{fmt.Errorf(format, args...)} }

// Main runs a command with the process's arguments and returns its exit code. The first SIGINT or
// SIGTERM ends the command's context, the second the process.
func Main(cmd *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	quiet := context.AfterFunc(ctx, func() {
		stop()
		if cmd.HasSubCommands() { // a daemon's log says what it does
			terminal.Printf(os.Stderr, "\n%s: stopping; Ctrl-C again ends it at once\n", cmd.Name())
		}
	})
	defer quiet() // before stop: the end of a command is no signal
	return Execute(ctx, cmd, os.Args[1:], os.Stderr)
}

// Execute runs a command and returns its exit code. Whatever goes wrong is one line on stderr.
// Mistakes in flags and arguments, which cobra finds before the command runs, count as bad requests
// and name the help.
func Execute(ctx context.Context, cmd *cobra.Command, args []string, stderr io.Writer) int {
	// PersistentPreRunE runs once cobra has accepted the flags and arguments. An error before that is
	// about the command line and gets the hint at --help. Variables that look like settings and are
	// none are refused there, too, as a typo in one would silently leave a default.
	started := false
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		started = true
		if cmd.Name() == "version" {
			return nil
		}
		return config.CheckEnvironment(os.Environ())
	}

	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagMistake(err) })
	cmd.SetArgs(args)
	cmd.SetErr(stderr)
	ran, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return ExitDone
	}

	code := exitCode(ctx, err)
	if !started { // flags and arguments
		code = ExitBadRequest
		err = fmt.Errorf("%w; see %s --help", err, ran.CommandPath())
	}
	// Joined errors have a line each; scripts and logs expect one in all.
	line := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " ")
	if code == ExitInterrupted { // whoever pressed Ctrl-C knows of no context
		line = strings.ReplaceAll(line, context.Canceled.Error(), "interrupted")
	}
	terminal.Printf(stderr, "%s: %s\n", cmd.Name(), line)
	return code
}

// badInput is implemented by errors that can be a mistake in what was asked for, such as a
// *job.FieldError.
type badInput interface{ BadInput() bool }

// exitCode tells bad input from an interruption and from a failure, in this order: bad input stays
// bad however the command ended.
func exitCode(ctx context.Context, err error) int {
	var bad badInput
	var no unfit
	switch {
	case errors.As(err, &bad) && bad.BadInput():
		return ExitBadRequest
	case errors.As(err, &no):
		return ExitUnfit
	case ctx.Err() != nil:
		return ExitInterrupted
	}
	return ExitFailed
}

// Logger writes to stderr in the format and from the level on that the settings say. What it writes
// is made harmless for a terminal.
func Logger(v *config.Values, stderr io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(v.String("log.level"))); err != nil {
		return nil, Usagef("log.level is %q; allowed: debug, info, warn, error", v.String("log.level"))
	}

	o := &slog.HandlerOptions{Level: level}
	stderr = terminal.Plain{W: stderr}
	switch v.String("log.format") {
	case "text":
		return slog.New(slog.NewTextHandler(stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(stderr, o)), nil
	}
	return nil, Usagef("log.format is %q; allowed: text, json", v.String("log.format"))
}

// Service is what a daemon does until its context ends. An error of package daemon's Usage makes
// the exit code 2.
type Service func(ctx context.Context, v *config.Values, log *slog.Logger) error

// Command returns the command of a program that runs until it is told to stop: its settings are
// flags, variables and lines of the file that --config names; --show-config prints them instead of
// running.
func Command(name, short, long string, s config.Settings, run Service) *cobra.Command {
	var file string
	var show bool
	cmd := &cobra.Command{Use: name, Short: short, Long: long, Args: NoArgs, Version: Version,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Settings are checked as a whole before the service starts. --show-config comes after that
			// check, and before the log.
			v, err := config.Load(s, cmd.Flags(), file)
			if err != nil {
				return err
			}
			if show {
				return PrintConfig(cmd.OutOrStdout(), v, false)
			}
			log, err := Logger(v, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if text := v.Insecure(); text != "" {
				log.Warn(text)
			}
			return run(cmd.Context(), v, log)
		}}

	s.Define(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "YAML file of settings; unknown keys are refused")
	cmd.Flags().BoolVar(&show, "show-config", false, "print every setting and its source, and stop")
	return cmd
}

// PrintConfig prints every setting in force and its source, as a table or as JSON.
func PrintConfig(w io.Writer, v *config.Values, js bool) error {
	if js {
		return terminal.Lines(w, v.Entries())
	}
	return terminal.Table(w, "KEY\tVALUE\tSOURCE", func(w io.Writer) {
		for _, e := range v.Entries() {
			terminal.Printf(w, "%s\t%v\t%s\n", e.Key, e.Value, e.Source)
		}
	})
}

// NoArgs refuses arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef("%q is one argument too many: %s takes flags only", args[0], cmd.CommandPath())
	}
	return nil
}
