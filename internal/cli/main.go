package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/shard"
)

// Version of the program; the build sets it.
var Version = "unknown"

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitBadRequest  = 2
	exitInterrupted = 130
)

// usageError is a mistake in what was asked for.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Usage marks an error as a mistake in what was asked for: the process exits with code 2.
func Usage(err error) error { return &usageError{err} }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// Main runs a command with the process's arguments and returns its exit code. The first SIGINT or
// SIGTERM ends the command's context, the second the process.
func Main(cmd *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	quiet := context.AfterFunc(ctx, func() {
		stop()
		if cmd.HasSubCommands() { // a daemon's log says what it does
			printf(os.Stderr, "\n%s: stopping; Ctrl-C again ends it at once\n", cmd.Name())
		}
	})
	defer quiet() // before stop: the end of a command is no signal
	return Execute(ctx, cmd, os.Args[1:], os.Stderr)
}

// Execute runs a command and returns its exit code; what goes wrong is one line on stderr.
func Execute(ctx context.Context, cmd *cobra.Command, args []string, stderr io.Writer) int {
	started := false
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		started = true
		if cmd.Name() == "version" {
			return nil
		}
		if err := config.CheckEnvironment(os.Environ()); err != nil {
			return &usageError{err}
		}
		return nil
	}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetErr(stderr)
	ran, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	code := exitCode(ctx, err)
	if !started { // flags and arguments
		code = exitBadRequest
		err = fmt.Errorf("%w; see %s --help", err, ran.CommandPath())
	}
	line := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " ")
	printf(stderr, "%s: %s\n", cmd.Name(), line)
	return code
}

func exitCode(ctx context.Context, err error) int {
	var (
		bad     *usageError
		field   *job.FieldError
		model   *shard.ModelError
		config  *coord.ConfigError
		refused *api.Error
	)
	switch {
	case errors.As(err, &bad), errors.As(err, &field), errors.As(err, &model),
		errors.As(err, &config),
		errors.As(err, &refused) && (refused.Status == http.StatusBadRequest ||
			refused.Status == http.StatusRequestEntityTooLarge):
		return exitBadRequest
	case ctx.Err() != nil:
		return exitInterrupted
	}
	return exitFailed
}

// logger writes to stderr as the settings say.
func logger(v *config.Values, stderr io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(v.String("log.level"))); err != nil {
		return nil, usage("log.level is %q; allowed: debug, info, warn, error", v.String("log.level"))
	}
	o := &slog.HandlerOptions{Level: level}
	stderr = plainWriter{stderr}
	switch v.String("log.format") {
	case "text":
		return slog.New(slog.NewTextHandler(stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(stderr, o)), nil
	}
	return nil, usage("log.format is %q; allowed: text, json", v.String("log.format"))
}

// Service is what a daemon does until its context ends.
type Service func(ctx context.Context, v *config.Values, log *slog.Logger) error

// Daemon returns the command of a program that runs until it is told to stop.
func Daemon(name, short, long string, s config.Settings, run Service) *cobra.Command {
	var file string
	var show bool
	cmd := &cobra.Command{Use: name, Short: short, Long: long, Args: noArgs, Version: Version,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := config.Load(s, cmd.Flags(), file)
			if err != nil {
				return &usageError{err}
			}
			if show {
				return printConfig(cmd.OutOrStdout(), v, false)
			}
			log, err := logger(v, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return run(cmd.Context(), v, log)
		}}
	s.Define(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "YAML file of settings; unknown keys are refused")
	cmd.Flags().BoolVar(&show, "show-config", false, "print every setting and its source, and stop")
	return cmd
}
