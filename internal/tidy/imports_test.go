package tidy

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floors says on which floor a room is; a room imports only from its own floor or from below. The
// longest prefix of a path counts.
var floors = []struct {
	prefix string
	floor  int
}{
	{"internal/userfile", 0}, {"internal/disk", 0}, {"internal/tensor", 0},
	{"internal/partition", 1}, {"internal/collective", 1}, {"internal/compute", 1},
	{"internal/cpu", 2}, {"internal/cuda", 2}, {"models/demo", 2}, {"internal/media", 2},
	{"internal/model", 3},
	{"internal/job", 4}, {"internal/diffusion", 4}, {"internal/artifact", 5},
	{"internal/wire", 6}, {"internal/coord", 7}, {"internal/shard", 7},
	{"internal/terminal", 0}, {"internal/config", 0}, {"internal/daemon", 1},
	{"internal/bench", 7}, {"internal/api", 8}, {"internal/sim", 8},
	{"internal/local", 9}, {"internal/cli", 10}, {"cmd", 11},
}

func floor(dir string) int {
	best, at := -1, -1
	for _, f := range floors {
		if (dir == f.prefix || strings.HasPrefix(dir, f.prefix+"/")) && len(f.prefix) > best {
			best, at = len(f.prefix), f.floor
		}
	}
	return at
}

// forTests lists the rooms that support tests alone.
var forTests = []string{"internal/golden", "internal/freeport"}

// TestImportsGoDownward holds the order of the rooms. Tests may import what supports them.
func TestImportsGoDownward(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.dir, "internal/") && !strings.HasPrefix(s.dir, "cmd/") {
			continue
		}
		own := floor(s.dir)
		if own < 0 && s.dir != "internal/tidy" && !slices.Contains(forTests, s.dir) {
			t.Errorf("%s is a room without a floor", s.dir)
		}
		for _, path := range imports(s) {
			room, ours := strings.CutPrefix(path, module)
			if ours && own >= 0 && floor(room) > own {
				t.Errorf("%s imports %s, which is above it", s.path, room)
			}
			if ours && slices.Contains(forTests, room) {
				t.Errorf("%s imports %s, which is for tests", s.path, room)
			}
		}
	}
}

// keepers says which rooms alone may know a thing.
var keepers = []struct {
	prefix string
	rooms  []string
}{
	{"github.com/hashicorp/raft", []string{"internal/coord"}},
	{"go.etcd.io/bbolt", []string{"internal/coord"}},
	{"github.com/nats-io/", []string{"internal/collective/nats", "internal/coord", "internal/shard",
		"internal/artifact"}},
	{"gorgonia.org/cu", []string{"internal/cuda"}},
	{"github.com/spf13/viper", []string{"internal/config"}},
	{"github.com/spf13/cobra", []string{"internal/cli", "internal/daemon", "cmd"}},
	{"github.com/deepteams/webp", []string{"internal/media"}},
	{"unsafe", []string{"internal/tensor", "internal/collective", "internal/cpu", "internal/cuda"}},
}

func TestOnlyItsKeeperKnowsAThing(t *testing.T) {
	for _, s := range sources(t) {
		for _, path := range imports(s) {
			for _, k := range keepers {
				whole := s.test && within(s.dir, []string{"cmd"}) // tests of whole clusters
				if strings.HasPrefix(path, k.prefix) && !within(s.dir, k.rooms) && !whole {
					t.Errorf("%s imports %s; only %v may", s.path, path, k.rooms)
				}
			}
		}
	}
}

// TestPureRooms holds job and partition to the standard library.
func TestPureRooms(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !within(s.dir, []string{"internal/job", "internal/partition"}) {
			continue
		}
		for _, path := range imports(s) {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s; allowed: the standard library", s.path, path)
			}
		}
	}
}

// TestThereIsNoCgo holds the default build to pure Go.
func TestThereIsNoCgo(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(imports(s), "C") && !within(s.dir, []string{"internal/cuda"}) {
			t.Errorf("%s uses cgo", s.path)
		}
	}
}

func within(dir string, rooms []string) bool {
	return slices.ContainsFunc(rooms, func(r string) bool {
		return dir == r || strings.HasPrefix(dir, r+"/")
	})
}

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
