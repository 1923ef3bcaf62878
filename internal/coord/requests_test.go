package coord

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

func TestFormatNeedsAShardThatWritesIt(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a", func(r *wire.Registration) { r.Capabilities = []string{"webm", "png"} })
	mp4 := job.Request{Format: "mp4", Shards: 2}
	var f *job.FieldError
	if _, err := c.Create(context.Background(), mp4); !errors.As(err, &f) || f.Field != "format" {
		t.Fatalf("%v", err)
	}
	b := fake(t, c, "b")
	create(t, c, mp4)
	if s := b.told(); s.Rank != 0 {
		t.Fatalf("the shard that writes mp4 has rank %d", s.Rank)
	}
}

// TestFP8NeedsAShardThatHasIt refuses a job at once, and then places it on the shard that has it.
func TestFP8NeedsAShardThatHasIt(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a") // of an older version
	fp8 := job.Request{DType: "fp8", Shards: 1}
	var f *job.FieldError
	if _, err := c.Create(context.Background(), fp8); !errors.As(err, &f) || f.Field != "dtype" {
		t.Fatalf("%v", err)
	}
	b := fake(t, c, "b", func(r *wire.Registration) { r.DTypes = []string{"fp32", "bf16", "fp8"} })
	create(t, c, fp8)
	b.told()

	// The others get what they can.
	create(t, c, job.Request{DType: "bf16", Shards: 1})
	a.told()
}

func TestKeysAndLimits(t *testing.T) {
	ctx := context.Background()
	cfg := testConfig(t.TempDir())
	cfg.Limits.Queued = 2
	c := start(t, cfg)
	f := fake(t, c, "a")
	r := request(9)
	r.Shards, r.Mesh = 0, job.Mesh{CFG: 2, Ulysses: 4}
	r.Key = "mine"
	one := create(t, c, r)
	if two := create(t, c, r); two != one {
		t.Fatalf("a repeat made job %s next to %s", two, one)
	}
	other := r
	other.Prompt = "another"
	if _, err := c.Create(ctx, other); !errors.Is(err, ErrKeyReused) {
		t.Fatalf("another request: %v", err)
	}
	other.Key = ""
	create(t, c, other)
	if _, err := c.Create(ctx, other); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("a third: %v", err)
	}
	if _, err := c.Create(ctx, job.Request{Mesh: job.Mesh{CFG: 1, Ulysses: 7}}); err == nil {
		t.Fatal("seven ranks share six heads")
	}
	f.leave()
}

// costly is the demo's shape: 256 wide, 8 layers.
func costly() job.Model {
	m := demo()
	m.Heads, m.HeadDim, m.Layers = 8, 32, 8
	m.Cost = job.Cost{FFNDim: 896, Decode: 1e6, Pixels: 112 * 64}
	return m
}

// TestCreateForesees refuses a clip by the speed that a shard registered with, and takes the same
// one where the client insists, or has it already.
func TestCreateForesees(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Limits.RequestTime = new(time.Hour)
	c := start(t, cfg)
	fake(t, c, "a", func(r *wire.Registration) { r.Model, r.Speed = costly(), 1e6 })
	r := request(1)
	var f *job.FieldError
	if _, err := c.Create(t.Context(), r); !errors.As(err, &f) || f.Field != "request" {
		t.Fatalf("refused with %v", err)
	}
	seed := uint64(1)
	r.Key, r.Force, r.Seed = "k", true, &seed
	first, err := c.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Force = false
	if again, err := c.Create(t.Context(), r); err != nil || again.ID != first.ID {
		t.Errorf("a repeat gives %s: %v", again.ID, err)
	}
	if n, err := c.Nodes(t.Context()); err != nil || n[0].Speed != 1e6 {
		t.Errorf("nodes %+v: %v", n, err)
	}
}

func TestListPages(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a")
	var ids []job.ID
	for range 5 {
		ids = append(ids, create(t, c, request(2)))
	}
	for _, order := range []string{"asc", "desc"} {
		var got []job.ID
		o := ListOptions{Limit: 2, Order: order}
		for more := true; more; {
			p, err := c.List(ctx, o)
			if err != nil || len(p.Jobs) == 0 {
				t.Fatalf("%+v, %v", p, err)
			}
			for _, v := range p.Jobs {
				got = append(got, v.ID)
			}
			o.After, more = got[len(got)-1], p.More
		}
		for i := range ids {
			want := ids[i]
			if order == "desc" {
				want = ids[len(ids)-1-i]
			}
			if got[i] != want {
				t.Fatalf("%s: %v", order, got)
			}
		}
	}
	for _, o := range []ListOptions{{Limit: 101}, {Limit: -1}, {Order: "up"}, {After: "nobody"}} {
		if _, err := c.List(ctx, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
