package shard

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/collective/transporttest"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// startLocked is startCluster for processes with certificates.
func startLocked(t *testing.T, n int, data func(int) DataPlane) *cluster {
	t.Helper()
	ca := pkitest.NewTestAuthority(t, "here")
	k := clusterOf(t, coord.Config{Timing: coord.Timing{HungAfter: 2 * patience},
		NATS:     coord.NATSConfig{Listen: "127.0.0.1:0"},
		Identity: ca.Identity(t, pki.RoleCoordinator, "c1")})
	for i := range n {
		name := "s" + string(rune('0'+i))
		k.addWith(name, data(i), func(cfg *Config) {
			cfg.Control, cfg.ControlOptions = k.c.ClientURL(), nil
			cfg.Identity = ca.Identity(t, pki.RoleShard, name)
		})
	}
	return k
}

// TestForgedFramesChangeNoClip attacks the data plane of a locked cluster while it makes a clip,
// which has the bytes of an undisturbed one of an open cluster, at its first attempt.
func TestForgedFramesChangeNoClip(t *testing.T) {
	shared, err := natsd.Start(nats.ServerOptions("data"))
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Shutdown()
	one := func(int) DataPlane { return DataPlane{Server: shared, Transport: TransportNATS} }
	r := request(5, 8, 0, job.Mesh{CFG: 2, Ulysses: 2})
	calm := startCluster(t, 4, one)
	want := calm.await(calm.create(r), never)
	if want.State != job.Completed {
		t.Fatalf("undisturbed: %s: %s", want.State, want.Error)
	}

	nc, err := shared.Connect(natsio.NoEcho())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	a := transporttest.NewAttacker(1, func(subject, reply string, frame []byte) {
		_ = nc.PublishRequest(subject, reply, frame)
		_ = nc.Flush() // no faster than the server takes it
	})
	if _, err := nc.Subscribe("longtake.data.*", func(m *natsio.Msg) {
		a.Hear(m.Subject, m.Reply, m.Data)
	}); err != nil {
		t.Fatal(err)
	}

	k := startLocked(t, 4, one)
	var got coord.View
	sent := a.During(func() { got = k.await(k.create(r), never) })
	if got.State != job.Completed || got.Attempt != 1 ||
		got.Result.LatentsSHA256 != want.Result.LatentsSHA256 ||
		got.Result.Video != want.Result.Video {
		t.Errorf("with %d forged frames: %s (%s), attempt %d, latents %.12s; without %.12s", sent,
			got.State, got.Error, got.Attempt, got.Result.LatentsSHA256, want.Result.LatentsSHA256)
	}
	forged := uint64(0)
	for _, s := range k.shards {
		forged += s.link.sent().Forged
	}
	if sent < 100 || forged == 0 {
		t.Errorf("%d frames of %d are counted as forged", forged, sent)
	}
}

// TestLockedDataPlanes makes a clip of two certificates' shards over servers of their own and over
// direct connections. Another server without a certificate, or with one of another CA, gets no
// route to them, and hears nothing.
func TestLockedDataPlanes(t *testing.T) {
	var want string
	for i, plane := range []func(int) DataPlane{ownServers, mostlyDirect} {
		k := startLocked(t, 3+i, plane)
		heard := make(chan *natsio.Msg, 1)
		stranger := pkitest.NewTestAuthority(t, "here").Identity(t, pki.RoleShard, "s0")
		for _, id := range []*pki.Identity{nil, stranger} {
			spy, err := natsd.Start(natsd.Options{Name: fmt.Sprint("spy", id != nil),
				RouteAddr: "127.0.0.1:0", Routes: []string{k.shards[0].link.route()},
				Cluster: "longtake-data", Lock: natsd.Lock{Identity: id, Routes: pki.RoleShard}})
			if err != nil {
				t.Fatal(err)
			}
			defer spy.Shutdown()
			nc, err := spy.Connect()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := nc.ChanSubscribe(">", heard); err != nil {
				t.Fatal(err)
			}
		}
		v := k.await(k.create(request(5, 4, 0, job.Mesh{CFG: 1, Ulysses: 3})), never)
		if v.State != job.Completed || want != "" && v.Result.LatentsSHA256 != want {
			t.Errorf("%s (%s), latents %.12s; want %.12s", v.State, v.Error,
				v.Result.LatentsSHA256, want)
		}
		want = v.Result.LatentsSHA256
		select {
		case m := <-heard:
			t.Errorf("a stranger hears %d bytes on %s", len(m.Data), m.Subject)
		default:
		}
	}
}

// TestLockedShardsConnectDirectly is of what nobody has set.
func TestLockedShardsConnectDirectly(t *testing.T) {
	f := func(p DataPlane, open, locked bool) {
		t.Helper()
		if p.GoesDirectly(false) != open || p.GoesDirectly(true) != locked {
			t.Errorf("%+v: %v in an open cluster, %v in a locked one", p, !open, !locked)
		}
	}
	for _, auto := range []string{"", TransportAuto} {
		f(DataPlane{Transport: auto}, false, true)
		f(DataPlane{Transport: auto, URL: "tls://n:1"}, false, false)
		f(DataPlane{Transport: auto, URL: "tls://n:1", DirectAddr: "s:1"}, false, true)
	}
	f(DataPlane{Transport: TransportNATS}, false, false)
	f(DataPlane{Transport: TransportDirect}, true, true)
}

// TestOutsideOverTLS reaches a NATS server outside by tls://, which has to have a certificate of
// this cluster's CA, and is shown this shard's.
func TestOutsideOverTLS(t *testing.T) {
	ca, others := pkitest.NewTestAuthority(t, "here"), pkitest.NewTestAuthority(t, "here")
	id := ca.Identity(t, pki.RoleShard, "s0")
	for _, a := range []*pkitest.Authority{ca, others} {
		theirs := a.Identity(t, pki.RoleCoordinator, "outside", "127.0.0.1")
		ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT,
			NoSigs: true, TLSConfig: theirs.Server(pki.RoleShard), TLSTimeout: patience.Seconds()})
		if err != nil {
			t.Fatal(err)
		}
		ns.Start()
		if !ns.ReadyForConnections(patience) {
			t.Fatal("the server is not ready")
		}
		url := "tls://" + ns.Addr().String()
		l := &link{plane: DataPlane{URL: url, identity: id}}
		nc, err := l.connect("n")
		if err == nil {
			nc.Close()
		}
		if (err == nil) != (a == ca) {
			t.Errorf("with the same CA %v: %v", a == ca, err)
		}
		if nc, err := natsd.Dial(url); err == nil {
			nc.Close()
			t.Error("it can be reached without a certificate")
		}
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

// TestAnOrderWithoutAKey is of a coordinator without a certificate: a shard that has one takes part
// in no attempt that anybody could read.
func TestAnOrderWithoutAKey(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	for _, name := range []string{"s0", "s1"} {
		k.add(name, ownServers(0))
		k.shards[len(k.shards)-1].link.plane.identity =
			pkitest.NewTestAuthority(t, "here").Identity(t, pki.RoleShard, name)
	}
	v := k.await(k.create(request(1, 1, 2, job.Mesh{})), func(v coord.View) bool {
		return len(v.Losses) > 0
	})
	if !strings.Contains(v.Losses[0].Reason, "no key") {
		t.Errorf("%s: %+v", v.State, v.Losses)
	}
}
