package cli

import (
	"io"

	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/terminal"
)

// printComputing tells on stderr what a cluster of this process is going to compute on, and in
// which type, before it is started: loading a model takes a while, and a wrong choice is worth a
// Ctrl-C. An error is the driver's.
func printComputing(w io.Writer, c local.Config, dtype string) error {
	on, err := c.Computing(dtype)
	if err != nil {
		return err
	}
	terminal.Printf(w, "computing on %s\n", on)
	printNotices(w, c.DeviceNotices())
	return nil
}

// shareOf says what the shards of a cluster compute with: threads of their own, or GPUs.
func shareOf(c local.Config) string {
	if n := min(c.Shards, len(c.GPUs)); n > 0 {
		return count(n, "GPU")
	}
	return count(c.Threads, "thread") + " each"
}
