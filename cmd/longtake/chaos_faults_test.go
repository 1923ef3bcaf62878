package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/longtake/longtake/internal/wire"
)

// fault is a thing that can go wrong.
type fault struct {
	name string
	do   func()
}

// disturb lets one thing after the other go wrong.
func (c *chaos) disturb(end time.Time) {
	kinds := []fault{
		{"shard killed (SIGKILL)", c.killShard},
		{"shard frozen (SIGSTOP)", c.freezeShard},
		{"shard told to end (SIGTERM)", c.endShard},
		{"shard drained, then let back in", c.drainShard},
		{"shard cut off from coordinators", c.cutControl},
		{"shard cut off from shards", c.cutData},
		{"shard on a slow link (20 ms a piece)", c.slowData},
		{"direct connections of a shard cut", c.cutDirect},
		{"shard's disk refuses files", c.breakDisk},
		{"checkpoint, texts and decoded seconds overwritten with rubbish", c.spoil},
		{"coordinator killed (SIGKILL)", c.killCoordinator},
		{"all coordinators killed at once", c.killCoordinators},
		{"entry of a coordinator's log damaged", c.damageEntry},
		{"coordinator's clock set by up to two hours", c.moveClock},
		{"coordinator's disk full", c.fillCoordinator},
	}
	if c.lock != nil {
		kinds = append(kinds, fault{"every certificate renewed", func() { c.lock.renew(c.t) }},
			fault{"the CA replaced", func() { c.lock.replace(c.t, time.Second) }})
	}
	if c.bigDisks {
		kinds = slices.DeleteFunc(kinds, func(k fault) bool { return k.name == "coordinator's disk full" })
	}
	for i := c.rng.IntN(len(kinds)); time.Now().Before(end); i++ {
		k := kinds[i%len(kinds)]
		c.t.Logf("%s", k.name)
		c.faults[k.name]++
		k.do()
		time.Sleep(c.between(time.Second, 5*time.Second))
	}
}

func (c *chaos) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(c.rng.Int64N(int64(hi-lo)))
}

func (c *chaos) shard() *shardProc { return c.shards[c.rng.IntN(len(c.shards))] }

func (c *chaos) restart(s *shardProc) {
	time.Sleep(c.between(0, 2*time.Second))
	s.d = c.b.start(c.t, "shard", s.args...)
}

func (c *chaos) killShard() {
	s := c.shard()
	s.d.kill()
	c.restart(s)
}

func (c *chaos) freezeShard() {
	s := c.shard()
	s.d.cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(c.between(500*time.Millisecond, 8*time.Second))
	s.d.cmd.Process.Signal(syscall.SIGCONT)
}

func (c *chaos) endShard() {
	s := c.shard()
	s.d.stop()
	c.restart(s)
}

func (c *chaos) drainShard() {
	name := c.shard().args[1]
	c.call(http.MethodPost, "/v1/nodes/"+name+"/drain?within=10", "", "")
	time.Sleep(c.between(time.Second, 4*time.Second))
	for range 50 {
		if _, err := c.call(http.MethodPost, "/v1/nodes/"+name+"/undrain", "", ""); err == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (c *chaos) cutControl() {
	d := c.between(500*time.Millisecond, 6*time.Second)
	for _, p := range c.shard().control {
		p.cut(d)
	}
}

func (c *chaos) cutData() {
	s, d := c.shard(), c.between(500*time.Millisecond, 8*time.Second)
	s.data.cut(d)
	if s.direct != nil {
		s.direct.cut(d)
	}
}

func (c *chaos) slowData() {
	s := c.shard()
	s.data.slow(20*time.Millisecond, 4*time.Second)
	if s.direct != nil {
		s.direct.slow(20*time.Millisecond, 4*time.Second)
	}
}

// cutDirect breaks a shard's direct connections again and again, then lets what is on them vanish:
// NATS and the other connections have to do meanwhile.
func (c *chaos) cutDirect() {
	p := c.shards[c.rng.IntN(directShards)].direct
	for range 5 {
		p.sever()
		time.Sleep(c.between(0, 500*time.Millisecond))
	}
	p.cut(c.between(500*time.Millisecond, 4*time.Second))
}

// breakDisk puts a file where the shard makes its temporary folders.
func (c *chaos) breakDisk() {
	s := c.shard()
	os.RemoveAll(s.tmp)
	os.WriteFile(s.tmp, nil, 0o600)
	time.Sleep(c.between(time.Second, 4*time.Second))
	os.Remove(s.tmp)
	os.MkdirAll(s.tmp, 0o700)
}

// spoil overwrites the latest checkpoint of each running job, its texts and its decoded seconds.
func (c *chaos) spoil() {
	type object struct{ Name string }
	var snap struct {
		Jobs []struct {
			State      string
			Checkpoint struct{ Object object }
			Parts      map[string]object
		}
	}
	if json.Unmarshal([]byte(c.get("/v1/cluster/snapshot")), &snap) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	for _, p := range c.coords {
		nc, err := c.lock.stolen(p.nats)
		if err != nil {
			continue
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			continue
		}
		for _, j := range snap.Jobs {
			if j.State != "running" {
				continue
			}
			names := []string{j.Checkpoint.Object.Name}
			for part, o := range j.Parts {
				if part != "latents" {
					names = append(names, o.Name)
				}
			}
			for _, name := range names {
				if name != "" {
					js.Publish(ctx, wire.Bucket+"."+name+".0", []byte("rubbish"))
				}
			}
		}
		c.shards[0].d.kill() // so that somebody reads it
		c.restart(c.shards[0])
		return
	}
}

func (c *chaos) killCoordinator() {
	p := c.coords[c.rng.IntN(len(c.coords))]
	p.d.kill()
	time.Sleep(c.between(0, 3*time.Second))
	p.d = c.b.start(c.t, "coordinator", p.args...)
}

func (c *chaos) killCoordinators() {
	for _, p := range c.coords {
		p.d.kill()
	}
	time.Sleep(c.between(0, 2*time.Second))
	for _, p := range c.coords {
		p.d = c.b.start(c.t, "coordinator", p.args...)
	}
}

// heal lets the last faults pass and starts what has ended.
func (c *chaos) heal() {
	time.Sleep(8 * time.Second)
	for _, s := range c.shards {
		s.data.set(false, 0)
		if s.direct != nil {
			s.direct.set(false, 0)
		}
	}
}
