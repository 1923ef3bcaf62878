// Command longtake generates clips and looks after clusters; see longtake --help.
package main

import (
	"os"

	"github.com/longtake/longtake/internal/cli"
	"github.com/longtake/longtake/internal/daemon"
)

func main() { os.Exit(daemon.Main(cli.Longtake())) }
