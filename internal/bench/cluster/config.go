package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Config is a cluster that is to be started.
type Config struct {
	// Programs is the folder of coordinator and shard; see Find.
	Programs string
	// Data is a folder for what the processes store, Logs one for what they say, a file each.
	Data, Logs string
	// Coordinators is 1, or 3 so that one of them can be killed.
	Coordinators int
	// Shards are the flags of each shard, but for its name and where the coordinators are.
	Shards [][]string
	// Seed decides which shard is disturbed, among those that work.
	Seed uint64
}

// The programs are looked for beside this one and nowhere else: what is somewhere in the path may
// be of another version, and the result would name this one's.

// Find returns the folder of the programs that clusters are made of: that of this one. An error
// says which is missing.
func Find() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot tell where this program is: %w", err)
	}

	dir := filepath.Dir(self)
	for _, name := range []string{"coordinator", "shard"} {
		if _, err := os.Stat(program(dir, name)); err != nil {
			return "", fmt.Errorf("the program %s is not beside this one, in %s; make build makes it", name,
				dir)
		}
	}
	return dir, nil
}

// program is the path of one of the programs.
func program(dir, name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(dir, name)
}

// anonymous is what everybody on this machine may do with the cluster: all that a benchmark does.
const anonymous = "videos:read,videos:write,nodes:read,nodes:write,metrics,admin"

// The settings are those that ship, but for addresses and folders: checkpoints after every step,
// three seconds until a silent shard counts as lost. A benchmark of other settings would be one of
// a cluster that nobody runs.

// coordinators returns their flags, and where each answers HTTP and NATS.
func (c Config) coordinators() (flags [][]string, http, nats []string, err error) {
	all, err := Members(c.Coordinators, c.Data, "http")
	if err != nil {
		return nil, nil, nil, err
	}

	for _, m := range all {
		_, listen, _ := strings.Cut(m.HTTP, "://")
		http, nats = append(http, listen), append(nats, "nats://"+m.NATS)
		flags = append(flags, append(m.Flags(all), "--http-anonymous", anonymous))
	}
	return flags, http, nats, nil
}
