package shard

import (
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// undisturbed makes the clip of r while nothing goes wrong, and returns the hash of its latents.
func (k *cluster) undisturbed(r job.Request) string {
	k.t.Helper()
	v := k.await(k.create(r), never)
	if v.State != job.Completed {
		k.t.Fatalf("the undisturbed job is %s: %s", v.State, v.Error)
	}
	k.idle(len(k.shards))
	return v.Result.LatentsSHA256
}

// completed wants the job done, with these latents, and returns it.
func (k *cluster) completed(id job.ID, latents string) coord.View {
	k.t.Helper()
	v := k.await(id, never)
	if v.State != job.Completed || v.Result.LatentsSHA256 != latents {
		k.t.Fatalf("the job is %s (%s), latents %.12s; undisturbed %.12s", v.State, v.Error,
			v.Result.LatentsSHA256, latents)
	}
	return v
}

// idle waits for n shards that could work.
func (k *cluster) idle(n int) {
	k.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		nodes, err := k.c.Nodes(k.t.Context())
		if err != nil || time.Now().After(end) {
			k.t.Fatalf("%d shards do not become idle: %+v, %v", n, nodes, err)
		}
		idle := 0
		for _, s := range nodes {
			if s.State == "idle" {
				idle++
			}
		}
		if idle == n {
			return
		}
	}
}

// asked waits until rank 0 was told to stop at its next step boundary.
func (k *cluster) asked() {
	k.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		for _, s := range k.shards {
			if w := s.current(); w != nil && w.order.Rank == 0 && w.yield.isAsked() {
				return
			}
		}
		if time.Now().After(end) {
			k.t.Fatal("rank 0 is not told to stop")
		}
	}
}

func saved(v coord.View) bool { return v.Checkpoint.Step > v.Plan.Resume.Step }

// loss wants the first early end of an attempt to be as described.
func loss(t *testing.T, v coord.View, reason string, planned bool, redone int) {
	t.Helper()
	if len(v.Losses) == 0 || !strings.Contains(v.Losses[0].Reason, reason) ||
		v.Losses[0].Planned != planned || v.Losses[0].Redone > redone {
		t.Errorf("early ends %+v; want one for %q", v.Losses, reason)
	}
}

func TestAnOlderPulseTakesNoOrderBack(t *testing.T) {
	var y yieldRequest
	before := y.ordersSeen()
	y.request()
	if y.update(false, before); !y.isAsked() {
		t.Error("an answer from before the order took it back")
	}
	if y.update(false, y.ordersSeen()); y.isAsked() {
		t.Error("an answer from after the order did not take it back")
	}
	if y.update(true, before); !y.isAsked() {
		t.Error("a pulse does not repeat an order")
	}
}

// TestADrainedShardHandsItsClipOver drains rank 0's shard in the middle of a clip: no step is done
// twice, and the shard gets no more work until it is let back in.
func TestADrainedShardHandsItsClipOver(t *testing.T) {
	k := startCluster(t, 3, ownServers)
	r := request(33, 40, 0, job.Mesh{})
	latents := k.undisturbed(r)
	k.gate.hold(9)
	id := k.create(r)
	v := k.await(id, saved)
	if _, err := k.c.DrainNode(t.Context(), v.Nodes[0], time.Minute); err != nil {
		t.Fatal(err)
	}
	k.asked()
	k.gate.open()
	v = k.completed(id, latents)
	loss(t, v, "drained", true, 0)
	if len(v.Plan.Nodes) != 2 {
		t.Errorf("the clip ends on %d shards", len(v.Plan.Nodes))
	}
	k.idle(2)
	if n := len(k.await(k.create(r), never).Plan.Nodes); n != 2 {
		t.Errorf("with a drained shard of three a clip runs on %d", n)
	}
	if _, err := k.c.UndrainNode(t.Context(), "s0"); err != nil {
		t.Fatal(err)
	}
	k.idle(3)
	if n := len(k.await(k.create(r), never).Plan.Nodes); n != 3 {
		t.Errorf("with all shards back a clip runs on %d", n)
	}
}

// TestAForcedDrainDoesNotWait drains a shard whose rank does not come to a boundary.
func TestAForcedDrainDoesNotWait(t *testing.T) {
	if testing.Short() {
		t.Skip("one of its kind is enough")
	}
	k := startCluster(t, 2, ownServers)
	r := request(33, 40, 0, job.Mesh{})
	latents := k.undisturbed(r)
	k.gate.hold(9)
	id := k.create(r)
	k.await(id, func(v coord.View) bool { return v.Checkpoint.Step >= 9 })
	if _, err := k.c.DrainNode(t.Context(), "s1", 0); err != nil {
		t.Fatal(err)
	}
	k.await(id, func(v coord.View) bool { return v.Attempt == 2 })
	k.gate.open()
	loss(t, k.completed(id, latents), "its time was over", false, 1)
}

// TestAShardThatLeavesHandsItsClipOver drains from the shard's side, with one that is alone: the
// clip waits for another shard.
func TestAShardThatLeavesHandsItsClipOver(t *testing.T) {
	if testing.Short() {
		t.Skip("one of its kind is enough")
	}
	k := startCluster(t, 1, ownServers)
	r := request(33, 40, 0, job.Mesh{})
	latents := k.undisturbed(r)
	k.gate.hold(9)
	id := k.create(r)
	k.await(id, saved)
	drained := make(chan error, 1)
	go func() { drained <- k.shards[0].Drain(t.Context(), time.Minute) }()
	k.asked()
	k.gate.open()
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	k.shards[0].Close()
	k.add("late", ownServers(0))
	loss(t, k.completed(id, latents), "drained", true, 0)
}

// TestAnUrgentJobTakesShards queues a job of a higher priority while all shards are at work.
func TestAnUrgentJobTakesShards(t *testing.T) {
	k := startCluster(t, 2, ownServers)
	r := request(33, 40, 2, job.Mesh{})
	latents := k.undisturbed(r)
	k.gate.hold(9)
	id := k.create(r)
	k.await(id, saved)
	same, urgent := request(1, 1, 2, job.Mesh{}), request(1, 1, 2, job.Mesh{})
	urgent.Priority = 5
	later := k.create(same)
	next := k.create(urgent)
	k.asked()
	k.gate.open()
	first := k.await(next, never)
	if first.State != job.Completed {
		t.Fatalf("the urgent job is %s: %s", first.State, first.Error)
	}
	v := k.completed(id, latents)
	loss(t, v, "priority 5", true, 0)
	if w := k.await(later, never); !w.Started.After(v.Started) || !first.Finished.Before(v.Finished) {
		t.Errorf("urgent until %v, the long one %v to %v, the one behind from %v", first.Finished,
			v.Started, v.Finished, w.Started)
	}
}

// TestAShardThatJoinsIsUsed starts a clip on one shard and adds another one: the clip moves to
// both, since many steps are left.
func TestAShardThatJoinsIsUsed(t *testing.T) {
	if testing.Short() {
		t.Skip("one of its kind is enough")
	}
	k := startCluster(t, 1, ownServers)
	r := request(33, 400, 0, job.Mesh{})
	k.gate.hold(9)
	id := k.create(r)
	k.await(id, saved)
	k.add("s1", ownServers(1))
	k.gate.pace.Store(int64(10 * time.Millisecond))
	k.gate.open()
	v := k.await(id, never)
	if v.State != job.Completed || len(v.Plan.Nodes) != 2 {
		t.Fatalf("the job is %s (%s) on %d shards", v.State, v.Error, len(v.Plan.Nodes))
	}
	loss(t, v, "2 shards would save", true, 0)
	k.gate.pace.Store(0)
	r.Shards = 1
	k.completed(k.create(r), v.Result.LatentsSHA256)
}

// TestAHungRankIsFound lets a rank of three stop computing while its process answers: its shard is
// named, though the others wait as well, and the clip goes on without it.
func TestAHungRankIsFound(t *testing.T) {
	k := startClusterWith(t, 3, ownServers, coord.Timing{HungAfter: 2 * time.Second})
	r := request(33, 40, 3, job.Mesh{})
	latents := k.undisturbed(r)
	name := "s1"
	k.hung.Store(&name)
	id := k.create(r)
	defer close(k.thaw)
	loss(t, k.completed(id, latents), "node s1 (rank 1) hangs", false, 1)
	select { // its process ends, since its device is lost
	case <-k.shards[1].Done():
	case <-time.After(2 * fenceAfter):
		t.Fatal("the hung shard stays")
	}
	if err := k.shards[1].Err(); err == nil || !strings.Contains(err.Error(), "start again") {
		t.Errorf("the hung shard says %v", err)
	}
}
