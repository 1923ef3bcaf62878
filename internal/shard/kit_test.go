//go:build kit

package shard_test

import (
	"os"
	"path/filepath"

	"github.com/longtake/longtake/internal/cli"
	"github.com/longtake/longtake/internal/daemon"
)

// In the GPU kit the tests of this package and the command longtake are one program, since they
// consist of the same packages: it is the command where its file has that name.
func init() {
	if filepath.Base(os.Args[0]) == "longtake" {
		os.Exit(daemon.Main(cli.Longtake()))
	}
}
