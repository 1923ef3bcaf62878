package shard

import (
	"fmt"
	"testing"

	natsio "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
	"github.com/longtake/longtake/internal/wire"
)

// TestAClipOfALockedCluster makes a clip whose shards reach objects through the coordinator alone,
// and loses a shard in the middle: it has the bytes of one that an open cluster makes, and its
// texts are kept for others.
func TestAClipOfALockedCluster(t *testing.T) {
	r := request(33, 12, 0, job.Mesh{CFG: 2, Ulysses: 1})
	open := startCluster(t, 2, inMemory())
	want := open.await(open.create(r), never)
	if want.State != job.Completed {
		t.Fatalf("the open cluster's job is %s: %s", want.State, want.Error)
	}

	k, add := lockedShards(t, inMemory(), nil)
	add()
	add()

	k.gate.hold(5)
	id := k.create(r)
	v := k.await(id, func(v coord.View) bool { return v.Checkpoint.Step > 2 })
	if v.State.Final() {
		t.Fatalf("the job is %s: %s", v.State, v.Error)
	}
	k.shards[0].Close()
	k.gate.open()
	add()
	v = k.await(id, never)
	if v.State != job.Completed || v.Result.LatentsSHA256 != want.Result.LatentsSHA256 ||
		v.Result.Video != want.Result.Video {
		t.Fatalf("the job is %s (%s), latents %.12s; of an open cluster %.12s", v.State, v.Error,
			v.Result.LatentsSHA256, want.Result.LatentsSHA256)
	}
	if v.Plan.Resume.Step == 0 {
		t.Error("nothing was taken from a checkpoint")
	}
	if n := cachedTexts(t, k.c); n < 2 {
		t.Errorf("%d texts are kept", n)
	}
}

// TestRanksOfALockedClusterShareLatents has several ranks decode a clip of which nothing is
// recorded: they read the latents that rank 0 has stored.
func TestRanksOfALockedClusterShareLatents(t *testing.T) {
	k, add := lockedShards(t, ownServers, new(0))
	for range 4 {
		add()
	}
	decoding := 0
	v := k.await(k.create(request(5, 2, 0, job.Mesh{CFG: 2, Ulysses: 2})), func(v coord.View) bool {
		decoding = max(decoding, v.Progress.Ranks)
		return false
	})
	if v.State != job.Completed || decoding == 1 || len(v.Losses) > 0 {
		t.Errorf("the job is %s (%s), decoded by %d ranks; lost: %+v", v.State, v.Error, decoding,
			v.Losses)
	}
}

// lockedShards is a locked cluster whose shards come with add; every is how many steps lie between
// checkpoints.
func lockedShards(t *testing.T, plane func(int) DataPlane, every *int) (k *cluster, add func()) {
	t.Helper()
	ca := pkitest.NewTestAuthority(t, "here")
	c, err := coord.Start(t.Context(), coord.Config{ID: "c1", Data: t.TempDir(),
		Timing:          coord.Timing{HungAfter: 2 * patience},
		NATS:            coord.NATSConfig{Listen: "127.0.0.1:0"},
		Identity:        ca.Identity(t, pki.RoleCoordinator, "c1"),
		CheckpointEvery: every})
	if err != nil {
		t.Fatal(err)
	}
	k = &cluster{t: t, c: c, thaw: make(chan struct{})}
	t.Cleanup(func() {
		for _, s := range k.shards {
			s.Close()
		}
		c.Close()
	})
	return k, func() {
		t.Helper()
		i := len(k.shards)
		name := fmt.Sprintf("gpu-%d", i)
		k.addWith(name, plane(i), func(cfg *Config) {
			cfg.ControlOptions, cfg.Control = nil, c.ClientURL()
			cfg.Identity = ca.Identity(t, pki.RoleShard, name)
			cfg.Texts = &engine.TextCache{} // none knows what another one has encoded
		})
	}
}

// cachedTexts counts what the coordinators keep of texts, in chunks.
func cachedTexts(t *testing.T, c *coord.Coordinator) uint64 {
	t.Helper()
	nc, err := natsio.Connect("", c.NATS())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), wire.Cache)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// inMemory are data planes of one process.
func inMemory() func(int) DataPlane {
	h := &mem.Hub{}
	return func(int) DataPlane { return DataPlane{Hub: h} }
}
