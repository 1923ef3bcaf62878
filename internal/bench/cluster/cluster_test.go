package cluster

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/bench/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// value returns what a flag is set to, "" if it is not there.
func value(flags []string, name string) string {
	if i := slices.Index(flags, name); i >= 0 {
		return flags[i+1]
	}
	return ""
}

// TestFlags: each of three knows all for Raft and the others for NATS; one alone knows nobody.
func TestFlags(t *testing.T) {
	flags, https, nats, err := Config{Coordinators: 3, Data: "data"}.coordinators()
	if err != nil || len(flags) != 3 || len(https) != 3 || len(nats) != 3 {
		t.Fatal(flags, https, nats, err)
	}
	for i, own := range flags {
		id := fmt.Sprintf("c%d", i+1)
		if value(own, "--id") != id || value(own, "--data") != filepath.Join("data", id) ||
			value(own, "--http-listen") != https[i] ||
			"nats://"+value(own, "--nats-listen") != nats[i] {
			t.Errorf("%s: %v", id, own)
		}

		// The same peers are told to all, and nobody is a route to itself.
		peers, routes := value(own, "--raft-peers"), value(own, "--nats-peers")
		if peers != value(flags[0], "--raft-peers") || strings.Count(peers, "@") != 3 ||
			!strings.Contains(peers, id+"@"+value(own, "--raft-listen")+"=http://"+https[i]) {
			t.Errorf("%s has the peers %s", id, peers)
		}
		if strings.Count(routes, "nats-route://") != 2 ||
			strings.Contains(routes, value(own, "--nats-routes")) {
			t.Errorf("%s has the routes %s", id, routes)
		}
	}

	flags, _, _, err = Config{Coordinators: 1, Data: "data"}.coordinators()
	if err != nil || slices.ContainsFunc(flags[0], func(f string) bool {
		return strings.HasPrefix(f, "--raft") || strings.HasPrefix(f, "--nats-peers")
	}) {
		t.Errorf("one alone: %v, %v", flags, err)
	}
}

// TestBalancer: connections go to the first that is there, and end when it closes.
func TestBalancer(t *testing.T) {
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()

	// It says what it hears.
	go func() {
		for {
			c, err := there.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()

	b, err := balance([]string{gone.Addr().String(), there.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", b.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, 5)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(got); err == nil {
		t.Error("a connection outlived the balancer")
	}
}

// The programs of a cluster are not there in a unit test, and what matters of them here is that
// they run, end and leave a log: a shell does that as well.

// shell returns a process of a shell's command, or skips where there is none.
func shell(t *testing.T, command string) *process {
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	p := &process{name: "p", path: path, args: []string{"-c", command},
		log: filepath.Join(dir, "p.log"), private: dir}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProcess: one is killed and started again, ends when it is asked to, and leaves its last
// words.
func TestProcess(t *testing.T) {
	p := shell(t, "exec sleep 100")
	for range 2 {
		if p.gone() {
			t.Fatal("it has ended")
		}
		if err := p.kill(); err != nil || !p.gone() {
			t.Fatal("it was killed: ", err)
		}
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.stop(); err != nil || !p.gone() {
		t.Error("it was stopped: ", err)
	}

	p = shell(t, "echo one; echo why >&2; exit 3")
	<-p.ended
	if got := p.lastWords(); got != "why (p.log)" {
		t.Errorf("last words: %q", got)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if err := (&process{}).stop(); err != nil {
		t.Error("one that never started: ", err)
	}
	if err := (&process{name: "p", path: "/nowhere/p", log: p.log}).start(); err == nil {
		t.Error("a program that is not there was started")
	}
}

// TestChoose: the same seed chooses the same shards, and none that was killed just now.
func TestChoose(t *testing.T) {
	names := []string{"a", "b", "c"}
	choices := func() (out []string) {
		c := Cluster{rng: rand.New(rand.NewPCG(7, 0)), //nolint:gosec // a benchmark's
			killed: map[string]time.Time{"b": time.Now(), "c": time.Now().Add(-settling)}}
		for range 20 {
			out = append(out, c.choose(slices.Clone(names)))
		}
		return out
	}
	first := choices()
	if !slices.Equal(first, choices()) || slices.Contains(first, "b") ||
		!slices.Contains(first, "a") || !slices.Contains(first, "c") {
		t.Error(first)
	}
	c := Cluster{killed: map[string]time.Time{"a": time.Now()}}
	if got := c.choose([]string{"a"}); got != "" {
		t.Errorf("%q was killed just now", got)
	}
}

// TestRefused: a cluster of somebody else's can be drained alone, and programs are looked for
// beside this one.
func TestRefused(t *testing.T) {
	_, err := Remote{}.Disturb(t.Context(), serve.FaultKill, 0)
	if err == nil || !strings.Contains(err.Error(), "can be drained") {
		t.Error(err)
	}
	if _, err := Find(); err == nil || !strings.Contains(err.Error(), "make build makes it") {
		t.Error(err)
	}
}
