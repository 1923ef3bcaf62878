// Command longtake generates clips and looks after clusters; see longtake --help.
package main

import (
	"os"

	"github.com/longtake/longtake/internal/cli"
)

func main() { os.Exit(cli.Main(cli.Longtake())) }
