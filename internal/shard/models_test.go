package shard

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/pool"
)

func TestParseModels(t *testing.T) {
	got, err := ParseModels([]string{"/m/Wan2.1", "big=/m/a=b", "./x=y", " b = c"})
	want := []ModelDir{{Dir: "/m/Wan2.1"}, {"big", "/m/a=b"}, {Dir: "./x=y"}, {"b", " c"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"=x", "a=", strings.Repeat("n", 300) + "=x"} {
		if _, err := ParseModels([]string{bad}); err == nil {
			t.Errorf("%.10q is a model", bad)
		}
	}
	if _, err := ParseModels(make([]string, job.ModelsLimit+1)); err == nil {
		t.Error("too many models are allowed")
	}
}

// two are two models of which shards of the tests have both.
func two(t *testing.T) []ModelDir {
	return []ModelDir{{"one", golden.Root("testdata", "golden", "tiny3")},
		{"two", golden.Twin(t, "t2v")}}
}

// clip makes a clip of a model to its end and returns the hash of its latents.
func (k *cluster) clip(model string, shards int) string {
	k.t.Helper()
	r := request(5, 2, shards, job.Mesh{})
	r.Model = model
	v := k.await(k.create(r), never)
	if v.State != job.Completed || v.Spec.Model != model {
		k.t.Fatalf("a clip of %s is %s: %s", model, v.State, v.Error)
	}
	return v.Result.LatentsSHA256
}

// ready waits until every shard says that it has these models loaded.
func (k *cluster) ready(models ...string) {
	k.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		nodes, err := k.c.Nodes(k.t.Context())
		bad := slices.IndexFunc(nodes, func(n coord.Node) bool { return !slices.Equal(n.Loaded, models) })
		if err == nil && bad < 0 {
			return
		}
		if time.Now().After(end) {
			k.t.Fatalf("want %v loaded on all of %+v, %v", models, nodes, err)
		}
	}
}

// TestShardsLoadTheModelOfAJob runs jobs of two models in turn on shards that have both, first with
// room for one, then for both: each clip has the bytes that it has on a shard of its model alone.
func TestShardsLoadTheModelOfAJob(t *testing.T) {
	models, want := two(t), map[string]string{}
	for _, m := range models {
		k := startCluster(t, 0, nil)
		k.addWith("alone", ownServers(0), func(c *Config) { c.Models = []ModelDir{m} })
		want[m.Name] = k.clip(m.Name, 1)
	}

	for name, c := range map[string]struct {
		room   int64
		loaded []string
	}{"room for one": {0, []string{"one"}}, "room for both": {1 << 30, []string{"one", "two"}}} {
		t.Run(name, func(t *testing.T) {
			k, weights := startCluster(t, 0, nil), pool.New(c.room)
			for i := range 2 {
				k.addWith(fmt.Sprint("s", i), ownServers(i), func(cfg *Config) {
					cfg.Models, cfg.Weights = models, weights
				})
			}
			k.ready("one")
			for _, m := range []string{"two", "one", "two", "one"} {
				if got := k.clip(m, 2); got != want[m] {
					t.Errorf("a clip of %s has latents %.12s, undisturbed %.12s", m, got, want[m])
				}
			}
			k.ready(c.loaded...)
			if _, err := k.c.Create(t.Context(), job.Request{Model: "three"}); err == nil {
				t.Error("a job of a model that nobody has is taken")
			}
		})
	}
}

// TestALongLoadIsNoHang holds the load of one of two ranks for longer than anybody may be silent or
// compute without progress: the other one and the leader wait.
func TestALongLoadIsNoHang(t *testing.T) {
	const limit = 2 * time.Second
	k, models := startClusterWith(t, 0, nil, coord.Timing{HungAfter: limit, HungFirst: limit,
		LostAfter: limit, Heartbeat: 20 * time.Millisecond}), two(t)
	loading, hold := make(chan struct{}), make(chan struct{})
	began := sync.OnceFunc(func() { close(loading) })
	for i := range 2 {
		k.addWith(fmt.Sprint("s", i), DataPlane{PeerTimeout: limit}, func(c *Config) {
			c.Models = models
			c.onLoad = func(ctx context.Context, model string) error {
				if i == 0 || model == "one" {
					return nil
				}
				began()
				select {
				case <-hold:
				case <-ctx.Done():
				}
				return ctx.Err()
			}
		})
	}
	r := request(5, 2, 2, job.Mesh{})
	r.Model = "two"
	id := k.create(r)
	<-loading
	k.await(id, func(v coord.View) bool { return v.Progress.Stage != "" })
	<-time.After(2 * limit)

	v, err := k.c.Get(t.Context(), id)
	if err != nil || v.Attempt != 1 || len(v.Losses) > 0 {
		t.Fatalf("while a shard loads, the job is in attempt %d: %+v, %v", v.Attempt, v.Losses, err)
	}
	close(hold)
	if v = k.await(id, never); v.State != job.Completed {
		t.Errorf("the job is %s: %s", v.State, v.Error)
	}
}

// TestAModelThatCannotBeLoadedLeavesTheNode with its others.
func TestAModelThatCannotBeLoadedLeavesTheNode(t *testing.T) {
	k, models := startCluster(t, 0, nil), two(t)
	broken := errors.New("the disk is gone")
	for i := range 2 {
		k.addWith(fmt.Sprint("s", i), ownServers(i), func(c *Config) {
			c.Models = models
			c.onLoad = func(_ context.Context, model string) error {
				if i == 0 && model == "two" {
					return broken
				}
				return nil
			}
		})
	}
	k.clip("two", 0)
	k.clip("one", 2)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		nodes, _ := k.c.Nodes(t.Context())
		if reflect.DeepEqual(nodes[0].Models, []string{"one"}) &&
			reflect.DeepEqual(nodes[0].Refused, []string{broken.Error()}) && len(nodes[1].Models) == 2 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", nodes)
		}
	}
}

// TestAModelThatCannotBeOpened is left out where there are others, unless all are wanted.
func TestAModelThatCannotBeOpened(t *testing.T) {
	models := append(two(t)[:1], ModelDir{Dir: t.TempDir()})
	k := startCluster(t, 0, nil)
	k.addWith("s0", ownServers(0), func(c *Config) { c.Models = models })
	nodes, err := k.c.Nodes(t.Context())
	if err != nil || len(nodes[0].Refused) != 1 || !slices.Equal(nodes[0].Models, []string{"one"}) {
		t.Errorf("%+v, %v", nodes, err)
	}

	for want, cfg := range map[string]Config{
		models[1].Dir:              {Models: models, AllModels: true},
		"are called":               {Models: append(models[:1:1], models[0])},
		"there is no such folder":  {Models: []ModelDir{{Dir: "none"}, {Dir: "neither"}}},
		"allowed: 1 to 256 and 12": {Models: []ModelDir{{strings.Repeat("n", 300), models[0].Dir}}},
	} {
		cfg.Control = "nats://127.0.0.1:1"
		s, err := Start(t.Context(), cfg)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
}
