package core

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/wire"
)

// rated is a leader with two nodes that can be predicted.
func rated(t *testing.T, edit ...func(*Config)) *fakeWorld {
	w := leads(t, edit...)
	m := demo()
	m.Cost = job.Cost{FFNDim: 512, Decode: 4e7, Pixels: 1 << 16}
	for _, id := range []job.NodeID{"a", "b"} {
		say[wire.Welcome](w, wire.Registration{Node: id, Name: "n" + string(id), Threads: 1, Model: m,
			Device: "dev", Speed: 1e11, Route: "nats-route://" + string(id) + ":1"})
		w.beat(id, nil)
	}
	return w
}

// estimateOf asks for the estimate of a clip.
func (w *fakeWorld) estimateOf(r job.Request) Estimate {
	w.t.Helper()
	r.Prompt = "a ball"
	e, err := w.k.Estimate(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// TestEstimatesFollowJobs asks before and after jobs have completed, and while shards are busy.
// Asking commits nothing.
func TestEstimatesFollowJobs(t *testing.T) {
	one, err := price.ParseDecimal("1")
	w := rated(t, func(c *Config) {
		c.Pricing = &price.Sheet{Currency: "EUR", Devices: []price.DevicePrice{{Match: "dev",
			PerSecond: one}}}
	})
	before := w.index
	first := w.estimateOf(job.Request{Shards: 2})
	if err != nil || !first.Known || first.Samples != 0 || len(first.Nodes) != 2 ||
		first.Devices[0] != "dev" ||
		first.Mesh.Size() != 2 || first.Memory == 0 || first.Waiting != "" || w.index != before ||
		first.Cost == nil || first.Low.Amount > first.Cost.Amount ||
		first.High.Amount <= first.Cost.Amount {
		t.Fatalf("%+v; %d entries", first, w.index-before)
	}

	// Jobs take 20 s a rank, which is far from what the rated speed lets expect.
	for range 3 {
		id := w.create(2)
		starts := w.take()
		if e := w.record(id).Estimate; e == nil || e.DeviceSeconds <= 0 {
			t.Fatalf("the job has no estimate: %+v", e)
		}
		w.hear(&starts[1], "b", used(0), over(starts[1], 20*time.Second))

		busy := w.estimateOf(job.Request{Shards: 2})
		if busy.Waiting == "" || len(busy.Nodes) != 2 {
			t.Errorf("%+v; want two shards, for which it waits", busy)
		}
		w.clock, w.today = w.clock.Add(20*time.Second), w.today.Add(20*time.Second)
		w.finish(starts[0], 20*time.Second)
		w.beat("a", nil)
		w.beat("b", nil)
	}

	after := w.estimateOf(job.Request{Shards: 2})
	if after.Samples != 3 || math.Abs(after.DeviceSeconds/40-1) > 0.1 ||
		math.Abs(after.Seconds/20-1) > 0.1 || after.Error >= first.Error {
		t.Errorf("%+v; want about 40 device-seconds in 20 s, more sure than %v", after, first.Error)
	}
	if other := w.estimateOf(job.Request{DType: "bf16"}); other.Samples != 0 {
		t.Errorf("%+v goes by jobs of another type", other)
	}
}

// TestEstimatesAreRefused as a job would be, and an old cluster stores none.
func TestEstimatesAreRefused(t *testing.T) {
	w := rated(t)
	var wrong *job.FieldError
	if _, err := w.k.Estimate(job.Request{Prompt: "a", Width: new(7)}); !errors.As(err, &wrong) {
		t.Errorf("a width of 7: %v", err)
	}
	var over *QuotaError
	_, err := w.k.Estimate(job.Request{Prompt: "a", Quota: access.Quota{Pixels: 64}})
	if !errors.As(err, &over) || over.Field != "size" {
		t.Errorf("more pixels than the quota has: %v", err)
	}
	if e := w.estimateOf(job.Request{Shards: 3}); len(e.Nodes) != 0 || e.Mesh.Size() != 3 ||
		e.Waiting == "" {
		t.Errorf("%+v; want three shards, which are not there", e)
	}

	old := rated(t, func(c *Config) { c.Commands = VersionFirst })
	if e := old.record(old.create(1)).Estimate; e != nil {
		t.Errorf("a cluster of version 8 stores %+v", e)
	}
	none := leads(t)
	none.join("a")
	if e := none.estimateOf(job.Request{}); e.Known || none.record(none.create(1)).Estimate != nil {
		t.Errorf("a model without a cost has an estimate: %+v", e)
	}
}
