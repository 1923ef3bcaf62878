package shard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/freeport"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// startThree starts three coordinators with certificates, and returns the one that leads first.
func startThree(t *testing.T, ids []*pki.Identity) (all []*coord.Coordinator) {
	t.Helper()
	addrs := freeport.Addrs(6)
	for i, id := range ids {
		cfg := coord.Config{ID: id.ID().Name, Data: t.TempDir(), Identity: id,
			Timing: coord.Timing{HungAfter: 2 * patience},
			Raft:   coord.RaftConfig{Listen: addrs[2*i]},
			NATS:   coord.NATSConfig{Listen: "127.0.0.1:0", Routes: addrs[2*i+1]}}
		for j, other := range ids {
			cfg.Raft.Peers = append(cfg.Raft.Peers,
				coord.Peer{ID: other.ID().Name, Raft: addrs[2*j], HTTP: "http://" + addrs[2*j]})
			cfg.NATS.Peers = append(cfg.NATS.Peers, "nats-route://"+addrs[2*j+1])
		}
		c, err := coord.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all = append(all, c)
	}

	var lead int
	eventually(t, func() bool {
		lead = slices.IndexFunc(all, func(c *coord.Coordinator) bool {
			_, err := c.Nodes(t.Context())
			return err == nil && c.Ready(t.Context()) == nil
		})
		return lead >= 0
	})
	all[0], all[lead] = all[lead], all[0]
	return all
}

// patient leaves a test out of short runs that waits for elections of three coordinators.
func patient(t *testing.T) *testing.T {
	if testing.Short() {
		t.Skip("waits for elections")
	}
	return t
}

// TestLockedClusterMakesItsClips runs three coordinators and two shards with certificates. In the
// midst of a clip every certificate, and then the CA, is replaced, and the leader goes away. All
// clips have the bytes that they have in an open cluster.
func TestLockedClusterMakesItsClips(t *testing.T) {
	open := startCluster(patient(t), 1, ownServers)
	want := open.await(open.create(request(5, 4, 0, job.Mesh{})), never).Result

	before, after := pkitest.NewTestAuthority(t, "here"), pkitest.NewTestAuthority(t, "here")
	var ids []*pki.Identity
	for _, name := range []string{"c1", "c2", "c3"} {
		ids = append(ids, before.Identity(t, pki.RoleCoordinator, name))
	}
	all := startThree(t, ids)
	k := &cluster{t: t, c: all[0], others: all[1:], thaw: make(chan struct{})}
	t.Cleanup(func() {
		for _, s := range k.shards {
			s.Close()
		}
	})
	var urls []string
	for _, c := range all {
		urls = append(urls, c.ClientURL())
	}
	for i := range 2 {
		name := fmt.Sprint("gpu-", i)
		own := before.Identity(t, pki.RoleShard, name)
		ids = append(ids, own)
		k.addWith(name, ownServers(i), func(cfg *Config) {
			cfg.Control, cfg.ControlOptions, cfg.Identity = strings.Join(urls, ","), nil, own
		})
	}

	done := func(v coord.View) {
		t.Helper()
		if v.State != job.Completed || v.Result.LatentsSHA256 != want.LatentsSHA256 ||
			v.Result.Video != want.Video || len(v.Losses) > 0 {
			t.Fatalf("%s (%s) with latents %.12s, not %.12s; losses %+v", v.State, v.Error,
				v.Result.LatentsSHA256, want.LatentsSHA256, v.Losses)
		}
	}
	k.gate.hold(2)
	id := k.create(request(5, 4, 2, job.Mesh{}))
	k.await(id, func(v coord.View) bool { return v.Progress.Done == 2 })
	both := pki.EncodeCerts(before.Cert, after.Cert)
	for _, step := range []func(*pki.Identity){
		func(i *pki.Identity) { before.WriteLeaf(t, i.Dir(), i.ID(), time.Hour) },
		func(i *pki.Identity) { mustWrite(t, i.Dir(), both) },
		func(i *pki.Identity) { after.WriteLeaf(t, i.Dir(), i.ID(), time.Hour) },
		func(i *pki.Identity) { mustWrite(t, i.Dir(), pki.EncodeCerts(after.Cert)) },
	} {
		for _, i := range ids {
			step(i)
		}
	}
	k.gate.open()
	done(k.await(id, never))

	// New connections of all kinds use what is on the disk now.
	if err := all[0].Close(); err != nil {
		t.Error(err)
	}
	eventually(t, func() bool {
		for _, c := range all[1:] {
			nodes, err := c.Nodes(t.Context())
			if err == nil && c.Ready(t.Context()) == nil && len(nodes) == 2 {
				k.c, k.others = c, all[1:]
				return true
			}
		}
		return false
	})
	done(k.await(k.create(request(5, 4, 2, job.Mesh{})), never))
}

func mustWrite(t *testing.T, dir string, cas []byte) {
	t.Helper()
	if err := pki.Write(dir, nil, nil, cas); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("it does not come to that")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
