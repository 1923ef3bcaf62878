package tidy

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// levels orders the packages: a package imports only from its own level or from below. The
// longest prefix of a path decides, so a subpackage has its parent's level unless it is listed.
var levels = []struct {
	prefix string
	level  int
}{
	{"internal/disk", 0},
	{"internal/freeport", 0},
	{"internal/tensor", 0},
	{"internal/terminal", 0},
	{"internal/userfile", 0},
	{"internal/access", 0},
	{"internal/audit", 0},
	{"internal/bench/plot", 0},
	{"internal/bench/result", 0},

	{"internal/collective", 1},
	{"internal/compute", 1},
	{"internal/config", 1},
	{"internal/keyfile", 1},
	{"internal/oidc", 1},
	{"internal/daemon", 1},
	{"internal/job", 1}, // next to partition, whose meshes it names
	{"internal/natsd", 1},
	{"internal/partition", 1},
	{"internal/pki", 1}, // next to job, by whose rule names are made
	{"internal/price", 0},
	{"internal/fleet", 1}, // next to topology, whose labels it takes
	{"internal/pricefile", 2},
	{"internal/sparse", 1},   // next to partition, whose grids it reads
	{"internal/topology", 1}, // next to partition, whose meshes it places

	{"internal/cpu", 2},
	{"internal/rollout", 2},
	{"internal/cuda", 2},
	{"internal/media", 2},
	{"models/demo", 2},

	{"internal/model", 3},

	{"internal/diffusion", 4},

	{"internal/api/schema", 5},
	{"internal/artifact", 5},
	{"internal/latents", 5},
	{"internal/engine", 5}, // below wire: it knows no coordinators
	{"internal/plan", 5},

	{"internal/join", 6},
	{"internal/advise", 6},
	{"internal/perf", 6}, // above plan, whose work it predicts
	{"internal/sched", 6},
	{"internal/wire", 6},

	{"internal/bench", 7},
	{"internal/bench/machine", 10}, // above local, whose clusters it makes clips on
	{"internal/bench/mlperf", 2},
	{"internal/bench/prompts", 1},
	{"internal/bench/serve", 8},
	{"internal/bench/cluster", 8},
	{"internal/bench/target", 8},       // next to the API, whose client it uses
	{"internal/bench/controlplane", 9}, // above the API, which it serves and calls
	{"internal/coord", 7},
	{"internal/shard", 7},

	{"internal/api", 8},
	{"internal/sim", 8},

	{"internal/local", 9},

	{"internal/cli", 10},

	{"cmd", 11},
}

// level returns the level of the package in dir, or -1 if it has none.
func level(dir string) int {
	longest, at := -1, -1
	for _, l := range levels {
		if within(dir, []string{l.prefix}) && len(l.prefix) > longest {
			longest, at = len(l.prefix), l.level
		}
	}
	return at
}

// forTests lists the packages that only tests may import, and each other.
var forTests = []string{"internal/golden", "internal/testlog", "internal/underrace",
	"internal/pki/pkitest", "internal/bench/target/targettest", "internal/compute/computetest"}

// TestImportsGoDownward rules out import cycles between layers before the compiler could see them:
// the scheduler cannot come to know HTTP, nor a tensor the model that uses it.
func TestImportsGoDownward(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.dir, "internal/") && !strings.HasPrefix(s.dir, "cmd/") {
			continue
		}
		own := level(s.dir)
		if own < 0 && s.dir != "internal/tidy" && !slices.Contains(forTests, s.dir) {
			t.Errorf("%s has no level; add it to levels", s.dir)
		}

		for _, path := range imports(s) {
			pkg, ours := strings.CutPrefix(path, module)
			if ours && own >= 0 && level(pkg) > own {
				t.Errorf("%s imports %s, which is above it", s.path, pkg)
			}
			if ours && slices.Contains(forTests, pkg) && !slices.Contains(forTests, s.dir) {
				t.Errorf("%s imports %s, which is for tests", s.path, pkg)
			}
		}
	}
}

// owners says which packages alone may import a library, so that replacing it touches one place.
var owners = []struct {
	prefix   string
	packages []string
}{
	{"github.com/hashicorp/raft", []string{"internal/coord"}},
	{"go.etcd.io/bbolt", []string{"internal/coord"}},
	{"github.com/nats-io/", []string{"internal/collective/nats", "internal/natsd", "internal/coord",
		"internal/shard", "internal/artifact", "internal/bench/controlplane"}},
	{module + "internal/collective/direct", []string{"internal/collective", "internal/shard"}},
	{module + "internal/collective/nats", []string{"internal/collective", "internal/shard",
		"internal/local"}}, // the engine sees transports alone
	{"github.com/zeebo/xxh3", []string{"internal/collective/direct"}},
	{"github.com/coreos/go-oidc", []string{"internal/oidc"}},
	{"gorgonia.org/cu", []string{"internal/cuda"}},
	{"github.com/spf13/viper", []string{"internal/config"}},
	{"github.com/spf13/cobra", []string{"internal/cli", "internal/daemon", "cmd"}},
	{"github.com/deepteams/webp", []string{"internal/media"}},
	{"gonum.org/v1/plot", []string{"internal/bench/plot"}},
	{"unsafe", []string{"internal/tensor", "internal/collective", "internal/cpu", "internal/cuda"}},
}

func TestLibrariesHaveOneOwner(t *testing.T) {
	for _, s := range sources(t) {
		for _, path := range imports(s) {
			for _, o := range owners {
				cluster := s.test && within(s.dir, []string{"cmd"}) // tests of whole clusters
				if strings.HasPrefix(path, o.prefix) && !within(s.dir, o.packages) && !cluster {
					t.Errorf("%s imports %s; only %v may", s.path, path, o.packages)
				}
			}
		}
	}
}

// TestPurePackages holds some packages to the standard library and to each other: what they decide
// depends on their arguments alone.
func TestPurePackages(t *testing.T) {
	pure := []string{"internal/access", "internal/job", "internal/partition", "internal/price",
		"internal/sparse", "internal/topology"}
	for _, s := range sources(t) {
		if s.test || !within(s.dir, pure) {
			continue
		}
		for _, path := range imports(s) {
			first, _, _ := strings.Cut(path, "/")
			pkg, ours := strings.CutPrefix(path, module)
			if strings.Contains(first, ".") && !(ours && within(pkg, pure)) {
				t.Errorf("%s imports %s; allowed: the standard library, %v", s.path, path, pure)
			}
		}
	}
}

// TestThereIsNoCgo holds the default build to pure Go, which is what makes the binaries static.
func TestThereIsNoCgo(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(imports(s), "C") && !within(s.dir, []string{"internal/cuda"}) {
			t.Errorf("%s uses cgo", s.path)
		}
	}
}

// within reports whether dir is one of the packages or lies below one.
func within(dir string, packages []string) bool {
	return slices.ContainsFunc(packages, func(p string) bool {
		return dir == p || strings.HasPrefix(dir, p+"/")
	})
}

// imports lists the paths that a file imports.
func imports(s source) []string {
	var out []string
	for _, i := range s.file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			panic(err) // the parser has read it
		}
		out = append(out, path)
	}
	return out
}
