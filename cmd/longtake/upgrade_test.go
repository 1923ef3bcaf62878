package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
)

const (
	upgradeShards = 4
	oldCommands   = core.CommandVersion - 1
)

// TestAClusterIsUpgradedWhileItWorks replaces three coordinators and four shards one after the
// other while clips are made. Nothing is lost, every clip has the right bytes, and the coordinators
// use what is new only when the last of them knows it. The older programs are this one's, told to
// read the older commands, or those of the folder LONGTAKE_OLD, such as of an earlier release.
func TestAClusterIsUpgradedWhileItWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts processes")
	}
	old := os.Getenv("LONGTAKE_OLD")
	os.Unsetenv("LONGTAKE_OLD") // which those programs do not know
	now := build(t, "-tags", tags("chaos"))
	c := &chaos{t: t, b: now, kinds: chaosKinds[:1], shardCount: upgradeShards, bigDisks: true,
		want: make([]clip, 1), rng: rand.New(rand.NewPCG(1, 1)),
		faults: map[string]int{}, accepted: map[string]int{}}
	c.stats.kinds = map[string]int{}
	c.reference()
	if old != "" {
		c.b = binaries{old}
	} else {
		c.commands = oldCommands
	}
	c.startAll()
	c.b = now

	var clients sync.WaitGroup
	upgraded := make(chan struct{})
	for i := range inFlight {
		clients.Go(func() { c.clientUntil(i, upgraded) })
	}
	for i, p := range c.coords {
		if got := c.commandsVersion(); got > oldCommands {
			t.Errorf("version %d after %d of 3 coordinators", got, i)
		}
		p.d.stop()
		os.Remove(p.data + "/commands")
		p.d = now.start(t, "coordinator", p.args...)
		until(t, "the coordinator", func() bool { return c.ready() == 3 })
	}
	until(t, "the new version", func() bool { return c.commandsVersion() == core.CommandVersion })
	for _, s := range c.shards {
		s.d.stop()
		s.d = now.start(t, "shard", s.args...)
		s.d.find(`msg=registered`)
	}
	close(upgraded)
	clients.Wait()
	c.once()
	t.Logf("%d clips, %d planned moves, %d attempts lost", c.stats.delivered, c.stats.planned,
		c.stats.lost)
}

// commandsVersion is what the leader says; older programs do not.
func (c *chaos) commandsVersion() int {
	var s struct {
		Commands int `json:"commands_version"`
	}
	for late := time.Now().Add(deadline); ; time.Sleep(100 * time.Millisecond) {
		body := c.get("/v1/cluster")
		if json.Unmarshal([]byte(body), &s) == nil && strings.Contains(body, `"leader":"`) {
			return s.Commands
		}
		if time.Now().After(late) {
			c.t.Fatalf("no coordinator knows a leader: %s", body)
		}
	}
}
