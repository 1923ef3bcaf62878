package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// fault is an error that says whether it was the caller's mistake.
type fault bool

func (f fault) Error() string  { return "x" }
func (f fault) BadInput() bool { return bool(f) }

func TestExitCodes(t *testing.T) {
	f := func(err error, interrupted bool, want int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if interrupted {
			cancel()
		}
		if code := exitCode(ctx, err); code != want {
			t.Errorf("%v exits with %d; want %d", err, code, want)
		}
	}
	f(errors.New("x"), false, ExitFailed)
	f(errors.New("x"), true, ExitInterrupted)
	f(fmt.Errorf("cannot do it: %w", fault(true)), false, ExitBadRequest)
	f(fault(true), true, ExitBadRequest)
	f(fault(false), false, ExitFailed)
	f(Usage(errors.New("x")), false, ExitBadRequest)
	f(Usagef("%d", 1), false, ExitBadRequest)
}

// TestAnInterruptionIsNamed ends a command that was waiting for its context.
func TestAnInterruptionIsNamed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := &cobra.Command{Use: "x", RunE: func(cmd *cobra.Command, _ []string) error {
		return fmt.Errorf("cannot read a video: %w", cmd.Context().Err())
	}}
	var said strings.Builder
	code := Execute(ctx, cmd, nil, &said)
	if want := "x: cannot read a video: interrupted\n"; code != ExitInterrupted || said.String() != want {
		t.Errorf("exit code %d, %q", code, said.String())
	}
}
