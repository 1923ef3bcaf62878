package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/longtake/longtake/internal/freeport"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/wire"
)

const (
	chaosSteps = 120
	chaosClips = 3 // different ones
	inFlight   = 2 // clips that are wanted at a time
	chaosCalm  = 3 * time.Minute
	chaosDisk  = "256m" // of each coordinator
)

// chaos is a cluster of real processes on which things go wrong.
type chaos struct {
	t     *testing.T
	b     binaries
	rng   *rand.Rand
	model string

	bigDisks bool // coordinators have no disk of their own
	coords   []*coordinatorProc
	shards   []*shardProc
	want     [chaosClips]clip // what an undisturbed process makes

	mu       sync.Mutex
	faults   map[string]int
	accepted map[string]int // ids, and which clip they are of
	stats    chaosStats
	sums     map[int]string // of latents, by clip
}

// clip is what a job has to leave: the hashes of its two files.
type clip struct{ video, latents [32]byte }

type chaosStats struct {
	delivered, lost, planned, redone int
	detection, recovery              []time.Duration
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
	d       *program
}

// TestChaos runs three coordinators and five shards and lets things go wrong, one after the other,
// while clips are made: every clip that was accepted is delivered once, with the right bytes.
// LONGTAKE_CHAOS says for how long (a minute), LONGTAKE_CHAOS_SEED in which order (1), and
// LONGTAKE_CHAOS_REPORT into which file the counts go.
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
	c := &chaos{t: t, b: build(t, "-tags", "chaos"), model: golden.Root("testdata", "golden", "tiny3"),
		rng: rand.New(rand.NewPCG(seed, 1)), faults: map[string]int{}, accepted: map[string]int{}}
	c.reference()
	c.startAll()
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
	c.report(length, seed)
}

// reference makes every clip in a process of its own, undisturbed.
func (c *chaos) reference() {
	for i := range c.want {
		dir := c.t.TempDir()
		c.b.longtake(c.t, "", "generate", "-p", "a blue car", "--size", "64x64", "--frames", "33",
			"--steps", fmt.Sprint(chaosSteps), "--seed", fmt.Sprint(i), "--model", c.model, "-o",
			dir+"/x.webm", "--save-latents", dir+"/x.safetensors")
		c.want[i] = clip{video: sha256.Sum256(file(c.t, dir+"/x.webm")),
			latents: sha256.Sum256(file(c.t, dir+"/x.safetensors"))}
	}
}

func (c *chaos) startAll() {
	var peers, routes []string
	raft, addrs := make([]string, 3), freeport.Addrs(12)
	for i := range 3 {
		raft[i] = addrs[4*i]
		routes = append(routes, addrs[4*i+1])
		p := &coordinatorProc{http: addrs[4*i+2], nats: addrs[4*i+3], data: c.t.TempDir()}
		if err := mountSmall(c.t, p.data, chaosDisk); err != nil {
			c.t.Logf("coordinators' disks do not fill up: %v", err)
			c.bigDisks = true
		}
		c.coords = append(c.coords, p)
		peers = append(peers, fmt.Sprintf("c%d@%s=http://%s", i, raft[i], p.http))
	}
	for i, p := range c.coords {
		p.args = []string{"--id", fmt.Sprintf("c%d", i), "--data", p.data, "--http-listen", p.http,
			"--nats-listen", p.nats, "--nats-private", "--nats-routes", routes[i], "--nats-peers",
			"nats-route://" + strings.Join(routes, ",nats-route://"), "--raft-listen", raft[i],
			"--raft-peers", strings.Join(peers, ",")}
		p.d = c.b.start(c.t, "coordinator", p.args...)
	}
	for i := range 5 {
		c.addShard(fmt.Sprintf("s%d", i))
	}
	until(c.t, "five shards", func() bool { return strings.Count(c.get("/v1/nodes"), `"idle"`) == 5 })
}

func (c *chaos) addShard(name string) {
	listen := freeport.Addrs(1)[0]
	s := &shardProc{tmp: c.t.TempDir(), data: newProxy(c.t, listen)}
	var control []string
	for _, p := range c.coords {
		x := newProxy(c.t, p.nats)
		s.control = append(s.control, x)
		control = append(control, "nats://"+x.addr())
	}
	s.args = []string{"--name", name, "--model", c.model, "--threads", "1", "--control",
		strings.Join(control, ","), "--data-listen", listen, "--data-advertise", s.data.addr(),
		"--data-peer-timeout", "5s", "--drain-timeout", "5s", "--tmp", s.tmp}
	s.d = c.b.start(c.t, "shard", s.args...)
	c.shards = append(c.shards, s)
}

// get asks the coordinators in turn; "" if none answers.
func (c *chaos) get(path string) string {
	body, err := c.call(http.MethodGet, path, "", "")
	if err != nil {
		return ""
	}
	return string(body)
}

var chaosHTTP = &http.Client{Timeout: 10 * time.Second}

// call asks one coordinator after the other until one answers well.
func (c *chaos) call(method, path, key, body string) (b []byte, err error) {
	for _, i := range rand.Perm(len(c.coords)) {
		var req *http.Request
		req, err = http.NewRequest(method, "http://"+c.coords[i].http+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Idempotency-Key", key)
		}
		var resp *http.Response
		if resp, err = chaosHTTP.Do(req); err != nil {
			continue
		}
		b, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode < 300 {
			return b, nil
		}
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, b)
	}
	return nil, err
}

// client makes clips until the time is over, and one after that.
func (c *chaos) client(n int, end time.Time) {
	for i := 0; ; i++ {
		over := time.Now().After(end)
		which := (n + i) % chaosClips
		id := c.create(fmt.Sprintf("client-%d-%d", n, i), which)
		if id == "" {
			return
		}
		v, ok := c.await(id)
		if !ok {
			return
		}
		c.judge(id, which, v)
		if over {
			return
		}
	}
}

// create asks until it is answered; the key keeps a repeated request from making a second clip.
func (c *chaos) create(key string, which int) string {
	body := fmt.Sprintf(`{"prompt":"a blue car","size":"64x64","num_frames":33,
		"num_inference_steps":%d,"seed":%d}`, chaosSteps, which)
	for late := time.Now().Add(chaosCalm); ; time.Sleep(200 * time.Millisecond) {
		b, err := c.call(http.MethodPost, "/v1/videos", key, body)
		var v struct{ ID string }
		if err == nil && json.Unmarshal(b, &v) == nil && v.ID != "" {
			c.mu.Lock()
			c.accepted[v.ID] = which
			c.mu.Unlock()
			return v.ID
		}
		if time.Now().After(late) {
			c.t.Errorf("no coordinator takes a job: %v", err)
			return ""
		}
	}
}

// chaosVideo is what is read of a job.
type chaosVideo struct {
	Details struct {
		State      string
		Checkpoint int `json:"checkpoint_step"`
		Result     struct {
			Latents string `json:"latents_sha256"`
		}
		Attempts []struct {
			Planned   bool
			Redone    int           `json:"redone_steps"`
			Detection time.Duration `json:"detection_ns"`
			Time      time.Time
			Recovered time.Time
			Reason    string
		} `json:"attempts_lost"`
	} `json:"longtake"`
	Error *struct{ Message string }
}

func (c *chaos) await(id string) (v chaosVideo, ok bool) {
	for late := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		v = chaosVideo{}
		if json.Unmarshal([]byte(c.get("/v1/videos/"+id)), &v) == nil {
			switch v.Details.State {
			case "completed":
				return v, true
			case "failed", "cancelled":
				c.t.Errorf("clip %s is lost: %+v", id, v)
				return v, false
			}
		}
		if time.Now().After(late) {
			c.t.Errorf("clip %s does not end: %+v", id, v)
			return v, false
		}
	}
}

// judge fetches a finished clip's files and compares them.
func (c *chaos) judge(id string, which int, v chaosVideo) {
	var got clip
	for variant, sum := range map[string]*[32]byte{"video": &got.video, "latents": &got.latents} {
		var err error
		for range 100 {
			var b []byte
			b, err = c.call(http.MethodGet, "/v1/videos/"+id+"/content?variant="+variant, "", "")
			if *sum = sha256.Sum256(b); err == nil {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		if err != nil {
			c.t.Errorf("clip %s cannot be fetched: %v", id, err)
		}
	}
	if got != c.want[which] {
		c.t.Errorf("clip %s has other bytes than an undisturbed one", id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.delivered++
	for _, a := range v.Details.Attempts {
		c.t.Logf("%s: %s", id, a.Reason)
		c.stats.redone += a.Redone
		if a.Planned {
			c.stats.planned++
			continue
		}
		c.stats.lost++
		if a.Detection > 0 {
			c.stats.detection = append(c.stats.detection, a.Detection)
		}
		if !a.Recovered.IsZero() {
			c.stats.recovery = append(c.stats.recovery, a.Recovered.Sub(a.Time))
		}
	}
}

// once wants exactly the accepted jobs to be known.
func (c *chaos) once() {
	ids := map[string]bool{}
	for after := ""; ; {
		var page struct {
			Data []struct{ ID string }
			More bool `json:"has_more"`
		}
		body := c.get("/v1/videos?limit=100&after=" + after)
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			c.t.Fatalf("%v: %s", err, body)
		}
		for _, v := range page.Data {
			ids[v.ID], after = true, v.ID
		}
		if !page.More {
			break
		}
	}
	if len(ids) != len(c.accepted) || c.stats.delivered != len(c.accepted) {
		c.t.Errorf("%d clips accepted, %d known, %d delivered", len(c.accepted), len(ids),
			c.stats.delivered)
	}
}

// jobs lists what is not done, for the report of a failure.
func (c *chaos) jobs() string { return c.get("/v1/videos?limit=5") + c.get("/v1/nodes") }

// judgeLatents wants jobs of the same clip to have the same latents.
func (c *chaos) judgeLatents(id string, which int, v chaosVideo) {
	sum := v.Details.Result.Latents
	if c.sums == nil {
		c.sums = map[int]string{}
	}
	if old := c.sums[which]; sum == "" || old != "" && old != sum {
		c.t.Errorf("clip %s became %q, others %q", id, sum, old)
	}
	c.sums[which] = sum
	c.stats.delivered++
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
		resp, err := chaosHTTP.Get("http://" + p.http + "/readyz")
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
		{"shard's disk refuses files", c.breakDisk},
		{"checkpoint, texts and decoded seconds overwritten with rubbish", c.spoil},
		{"coordinator killed (SIGKILL)", c.killCoordinator},
		{"all coordinators killed at once", c.killCoordinators},
		{"entry of a coordinator's log damaged", c.damageEntry},
		{"coordinator's clock set by up to two hours", c.moveClock},
		{"coordinator's disk full", c.fillCoordinator},
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

func (c *chaos) cutData() { c.shard().data.cut(c.between(500*time.Millisecond, 8*time.Second)) }

func (c *chaos) slowData() { c.shard().data.slow(20*time.Millisecond, 4*time.Second) }

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
		nc, err := nats.Connect("nats://" + p.nats)
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
	}
}

// TestANewLeaderSoon kills the leader of three coordinators with SIGKILL, again and again, while a
// clip is made, and measures how long it takes until the next command is acknowledged. Then it kills
// all three at once. LONGTAKE_KILLS says how often (3).
func TestANewLeaderSoon(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	kills := 3
	fmt.Sscan(os.Getenv("LONGTAKE_KILLS"), &kills)
	c := &chaos{t: t, b: build(t), model: golden.Root("testdata", "golden", "tiny3"),
		rng: rand.New(rand.NewPCG(1, 1)), accepted: map[string]int{}}
	c.startAll()
	var took []time.Duration
	for i := range kills {
		c.create(fmt.Sprint("before-", i), 0)
		p := c.leader()
		p.d.kill()
		start := time.Now()
		c.create(fmt.Sprint("after-", i), 1)
		took = append(took, time.Since(start))
		p.d = c.b.start(t, "coordinator", p.args...)
		until(t, "three coordinators", func() bool { return c.ready() == len(c.coords) })
	}
	slices.Sort(took)
	t.Logf("%d kills: acknowledged again after %v (median), %v (99 of 100), %v (longest)", kills,
		took[len(took)/2], took[(len(took)-1)*99/100], took[len(took)-1])
	if worst := took[(len(took)-1)*99/100]; worst > 5*time.Second {
		t.Errorf("a command was acknowledged only after %v", worst)
	}
	c.killCoordinators()
	for id, which := range c.accepted {
		if v, ok := c.await(id); ok {
			c.judgeLatents(id, which, v)
		}
	}
	c.once()
}

const reportMark = "<!-- made by make chaos -->"

// report prints the counts, and puts them into a file where that is asked for.
func (c *chaos) report(length time.Duration, seed uint64) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v, seed %d, three coordinators, five shards, clips of %d steps.\n\n", length, seed,
		chaosSteps)
	fmt.Fprintf(&b, "| What went wrong | Times |\n|---|---|\n")
	names := make([]string, 0, len(c.faults))
	for n := range c.faults {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "| %s | %d |\n", n, c.faults[n])
	}
	s := c.stats
	fmt.Fprintf(&b, "\n| What came of it | |\n|---|---|\n")
	fmt.Fprintf(&b, "| clips accepted | %d |\n", len(c.accepted))
	fmt.Fprintf(&b, "| clips delivered once, with the right bytes | %d |\n", s.delivered)
	fmt.Fprintf(&b, "| attempts lost | %d |\n", s.lost)
	fmt.Fprintf(&b, "| attempts that stopped as asked, with a checkpoint | %d |\n", s.planned)
	fmt.Fprintf(&b, "| steps done again, of %d | %d |\n", s.delivered*chaosSteps, s.redone)
	fmt.Fprintf(&b, "| silence before a loss was noticed, median and longest | %s |\n", spread(s.detection))
	fmt.Fprintf(&b, "| from a loss to the next durable step, median and longest | %s |\n",
		spread(s.recovery))
	c.t.Logf("\n%s", b.String())
	path := os.Getenv("LONGTAKE_CHAOS_REPORT")
	if path == "" || c.t.Failed() {
		return
	}
	path = filepath.Join(golden.Root("."), path)
	before, _, ok := strings.Cut(string(file(c.t, path)), reportMark)
	if !ok {
		c.t.Fatalf("%s has no line %s", path, reportMark)
	}
	if err := os.WriteFile(path, []byte(before+reportMark+"\n\n"+b.String()), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// spread is the median and the maximum.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	return fmt.Sprintf("%v, %v", all[len(all)/2].Round(10*time.Millisecond),
		all[len(all)-1].Round(10*time.Millisecond))
}
