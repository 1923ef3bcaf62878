package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// TestFlagMistakes words every kind of value that cannot be read in one way.
func TestFlagMistakes(t *testing.T) {
	f := pflag.NewFlagSet("x", pflag.ContinueOnError)
	f.Int("int", 0, "")
	f.Float64("float", 0, "")
	f.Duration("time", time.Second, "")
	f.IntSlice("list", nil, "")
	f.Bool("on", false, "")
	for arg, want := range map[string]string{
		"--int=2,-1":  `--int is "2,-1"; allowed: an integer`,
		"--float=abc": `--float is "abc"; allowed: a number`,
		"--time=soon": `--time is "soon"; allowed: a duration`,
		"--list=1;2":  `--list is "1;2"; allowed: integers`,
		"--on=maybe":  `--on is "maybe"; allowed: true or false`,
		"--none":      "unknown flag: --none",
	} {
		err := flagMistake(f.Parse([]string{arg}))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if err := errors.New("another"); flagMistake(err) != err { //nolint:errorlint // the same one
		t.Error("another error was changed")
	}
}
