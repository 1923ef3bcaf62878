package tidy

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayNotLink names, for each command and for what others may link, the packages that its binary has
// no use for; what is below such a path counts as well. An import that brings one in costs
// megabytes, start-up time, and security notices about code that never runs.
var mayNotLink = map[string][]string{
	"./cmd/shard": {
		"github.com/hashicorp/raft",
		"github.com/hashicorp/raft-boltdb",
		"github.com/prometheus/client_golang",
		"go.etcd.io/bbolt",
		"gonum.org/v1/plot",
		module + "internal/api",
		module + "internal/bench",
		module + "internal/cli",
		module + "internal/coord",
		module + "internal/local",
	},
	"./internal/api/client": { // a program of its own may ask for clips
		"github.com/hashicorp/raft",
		"github.com/nats-io",
		module + "internal/coord",
		module + "internal/media",
	},
	"./cmd/coordinator": {
		"gonum.org/v1/plot",
		"gorgonia.org/cu",
		module + "internal/bench",
		module + "internal/cli",
		module + "internal/cpu",
		module + "internal/cuda",
		module + "internal/engine",
		module + "internal/local",
		module + "internal/model",
		module + "internal/shard",
		module + "models/demo",
	},
}

// TestCommandsLinkOnlyWhatTheyUse asks the go command, which also knows of imports of imports.
func TestCommandsLinkOnlyWhatTheyUse(t *testing.T) {
	for cmd, not := range mayNotLink {
		for _, tags := range []string{"", "cuda"} {
			list := exec.Command("go", "list", "-deps", "-tags", tags, cmd)
			list.Dir = root()
			out, err := list.Output()
			if err != nil {
				t.Fatalf("go list -deps %s: %v", cmd, err)
			}

			deps := strings.Fields(string(out))
			if !slices.Contains(deps, module+strings.TrimPrefix(cmd, "./")) {
				t.Fatalf("go list -deps %s does not list the command itself", cmd)
			}
			for _, dep := range deps {
				if within(dep, not) {
					t.Errorf("%s links %s (tags %q)", cmd, dep, tags)
				}
			}
		}
	}
}
