package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/freeport"
	"github.com/longtake/longtake/internal/pki"
)

const (
	chaosSteps = 120
	inFlight   = 2 // clips that are wanted at a time
	chaosCalm  = 3 * time.Minute
	chaosDisk  = "256m" // of each coordinator

	directShards = 3 // of the five; the others leave pairs of both kinds
)

// chaos is a cluster of real processes on which things go wrong.
type chaos struct {
	t     *testing.T
	b     binaries
	rng   *rand.Rand
	kinds []chaosKind

	bigDisks bool // coordinators have no disk of their own
	commands int  // that coordinators read; 0: all

	shardCount int // 0: five
	lock       *lock
	coords     []*coordinatorProc
	shards     []*shardProc
	models     []string // flags of a shard
	want       []clip   // what an undisturbed process makes

	mu       sync.Mutex
	faults   map[string]int
	accepted map[string]int // ids, and which clip they are of
	stats    chaosStats
	sums     map[int]string // of latents, by clip
}

type coordinatorProc struct {
	args             []string
	http, nats, data string
	d                *program
}

type shardProc struct {
	args    []string
	tmp     string
	control []*proxy // one for each coordinator
	data    *proxy
	direct  *proxy // nil: the shard's activations go over NATS alone
	d       *program
}

// TestChaos runs three coordinators and five shards and lets things go wrong, one after the other,
// while clips are made: every clip that was accepted is delivered once, with the right bytes.
// LONGTAKE_CHAOS says for how long (a minute), LONGTAKE_CHAOS_SEED in which order (1), and
// LONGTAKE_CHAOS_REPORT into which file the counts go. The cluster is locked, unless
// LONGTAKE_CHAOS_OPEN is set.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute of real processes")
	}
	length, seed := time.Minute, uint64(1)
	if s := os.Getenv("LONGTAKE_CHAOS"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Sscan(os.Getenv("LONGTAKE_CHAOS_SEED"), &seed)
	c := &chaos{t: t, b: build(t, "-tags", tags("chaos")), kinds: chaosKinds,
		want: make([]clip, seedsOfAKind*len(chaosKinds)), rng: rand.New(rand.NewPCG(seed, 1)),
		faults: map[string]int{}, accepted: map[string]int{}}
	c.stats.kinds = map[string]int{}
	c.reference()
	if os.Getenv("LONGTAKE_CHAOS_OPEN") == "" {
		c.lock = newLock(t)
	}
	c.startAll()
	own := c.watchAccounts()
	end := time.Now().Add(length)
	var clients sync.WaitGroup
	for i := range inFlight {
		clients.Go(func() { c.client(i, end) })
	}
	c.disturb(end)
	c.heal()
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(chaosCalm):
		t.Fatalf("clips do not end, though all is well: %s", c.jobs())
	}
	c.once()
	own.check()
	c.report(length, seed)
}

func (c *chaos) startAll() {
	c.models = c.modelFlags()
	var peers, routes []string
	raft, addrs := make([]string, 3), freeport.Addrs(12)
	for i := range 3 {
		raft[i] = addrs[4*i]
		routes = append(routes, addrs[4*i+1])
		p := &coordinatorProc{http: addrs[4*i+2], nats: addrs[4*i+3], data: c.t.TempDir()}
		if !c.bigDisks {
			if err := mountSmall(c.t, p.data, chaosDisk); err != nil {
				c.t.Logf("coordinators' disks do not fill up: %v", err)
				c.bigDisks = true
			}
		}
		if c.commands > 0 {
			text := fmt.Sprint(c.commands)
			if err := os.WriteFile(p.data+"/commands", []byte(text), 0o600); err != nil {
				c.t.Fatal(err)
			}
		}
		c.coords = append(c.coords, p)
		peers = append(peers, fmt.Sprintf("c%d@%s=%s", i, raft[i], c.lock.url(p.http)))
	}
	for i, p := range c.coords {
		p.args = []string{"--id", fmt.Sprintf("c%d", i), "--data", p.data, "--http-listen", p.http,
			"--nats-listen", p.nats, "--nats-private", "--nats-routes", routes[i], "--nats-peers",
			"nats-route://" + strings.Join(routes, ",nats-route://"), "--raft-listen", raft[i],
			"--raft-peers", strings.Join(peers, ",")}
		p.args = append(p.args, c.lock.flags(c.t, pki.RoleCoordinator, fmt.Sprintf("c%d", i))...)
		p.d = c.b.start(c.t, "coordinator", p.args...)
	}
	n := cmp.Or(c.shardCount, 5)
	for i := range n {
		c.addShard(fmt.Sprintf("s%d", i))
	}
	until(c.t, "all shards", func() bool { return strings.Count(c.get("/v1/nodes"), `"idle"`) == n })
}

func (c *chaos) addShard(name string) {
	addrs := freeport.Addrs(2)
	listen := addrs[0]
	s := &shardProc{tmp: c.t.TempDir(), data: newProxy(c.t, listen)}
	var control []string
	for _, p := range c.coords {
		x := newProxy(c.t, p.nats)
		s.control = append(s.control, x)
		control = append(control, "nats://"+x.addr())
	}
	s.args = append([]string{"--name", name, "--threads", "1", "--control",
		strings.Join(control, ","), "--data-listen", listen, "--data-advertise", s.data.addr(),
		"--data-peer-timeout", "5s", "--drain-timeout", "5s", "--tmp", s.tmp}, c.models...)
	if len(c.shards) < directShards {
		s.direct = newProxy(c.t, addrs[1])
		s.args = append(s.args, "--data-transport", "direct", "--data-direct-addr", addrs[1],
			"--data-direct-advertise", s.direct.addr(), "--data-direct-connections", "2")
	}
	s.args = append(s.args, c.lock.flags(c.t, pki.RoleShard, name)...)
	s.d = c.b.start(c.t, "shard", s.args...)
	c.shards = append(c.shards, s)
}

// leader finds the coordinator that leads.
func (c *chaos) leader() (p *coordinatorProc) {
	until(c.t, "a leader", func() bool {
		var st struct{ Leader string }
		if json.Unmarshal([]byte(c.get("/v1/cluster")), &st) != nil || len(st.Leader) != 2 {
			return false
		}
		p = c.coords[st.Leader[1]-'0']
		return true
	})
	return p
}

// ready counts the coordinators that serve.
func (c *chaos) ready() (n int) {
	for _, p := range c.coords {
		resp, err := c.lock.client().Get(c.lock.url(p.http) + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			n++
		}
	}
	return n
}
