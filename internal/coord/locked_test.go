package coord

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	dto "github.com/prometheus/client_model/go"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
	"github.com/longtake/longtake/internal/wire"
)

// lockedCluster is a coordinator with a certificate, and the CA that signs others.
func lockedCluster(t *testing.T) (*Coordinator, *pkitest.Authority) {
	t.Helper()
	ca := pkitest.NewTestAuthority(t, "here")
	cfg := testConfig(t.TempDir())
	cfg.ID, cfg.NATS.Listen = "c1", "127.0.0.1:0"
	cfg.Identity = ca.Identity(t, pki.RoleCoordinator, cfg.ID)
	return start(t, cfg), ca
}

// fakeOf is a node of an identity that is in the coordinator's process.
func fakeOf(t *testing.T, name string) *shardFake {
	f := newFake(t, string(wire.NewNodeID(name, "X")))
	f.identity, f.reg.Name = name, name
	f.reg.Route = "nats-route://" + name + ":1"
	return f
}

// lockedFake is a node with a certificate of its own; it connects over TLS.
func lockedFake(t *testing.T, i *pki.Identity) *shardFake {
	f := fakeOf(t, i.ID().Name)
	f.options = natsd.Locked(i, pki.RoleCoordinator, wire.Inbox(f.identity))
	return f
}

// refusedFor is how many messages and connections were refused for a reason.
func refusedFor(t *testing.T, c *Coordinator, reason string) int {
	t.Helper()
	var m dto.Metric
	if err := c.metrics.refused.WithLabelValues(reason).Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

// everything is all that a node may say of itself while it runs rank 0 of a job.
func everything(id job.NodeID, w wire.Work) map[string]any {
	o := job.Object{Name: "forged", Size: 1, SHA256: strings.Repeat("0a", 32)}
	return map[string]any{
		wire.SubjectRegister:  wire.Registration{Node: id, Name: "x", Model: demo(), Work: w},
		wire.SubjectHeartbeat: wire.Heartbeat{Node: id, State: wire.Idle},
		wire.SubjectGoodbye:   wire.Goodbye{Node: id},
		wire.SubjectLeave:     wire.Leave{Node: id},
		wire.SubjectProgress: wire.Report{Node: id, Progress: job.Progress{Job: w.Job,
			Attempt: w.Attempt, Stage: job.StageDenoise, Done: 3, Total: 4}},
		wire.SubjectComplete: wire.Completion{Node: id, Work: w,
			Result: job.Result{Video: o, Latents: o, ContentType: "video/webm"}},
		wire.SubjectFail: wire.Failure{Node: id, Work: w, Peer: -1, Final: true, Reason: "forged"},
		wire.SubjectSaved: wire.Saved{Node: id, Work: w,
			Checkpoint: job.Checkpoint{Step: 1, Object: o}},
		wire.SubjectKept: wire.Kept{Node: id, Work: w, Name: "text.0", Object: o},
		wire.SubjectPreview: wire.Preview{Node: id, Work: w, Step: 1,
			Data: []byte("RIFFsizeWEBPVP8X")},
		wire.SubjectMeasure: wire.Probe{Node: id, Number: 1, To: id},
	}
}

// thief holds the certificate of one shard and tries to be another.
type thief struct {
	*nats.Conn
	t    *testing.T
	own  string
	errs chan error
}

func newThief(t *testing.T, c *Coordinator, i *pki.Identity) *thief {
	t.Helper()
	x := &thief{t: t, own: i.ID().Name, errs: make(chan error, 64)}
	var err error
	x.Conn, err = nats.Connect(c.ClientURL(), append(natsd.Locked(i, pki.RoleCoordinator,
		wire.Inbox(x.own)), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		x.errs <- err
	}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// cannot wants NATS to refuse what was just done.
func (x *thief) cannot(what string, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
	select {
	case err := <-x.errs:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			x.t.Errorf("%s: %v", what, err)
		}
	case <-time.After(time.Minute):
		x.t.Errorf("%s is not refused", what)
	}
}

func (x *thief) cannotHear(subject string) {
	x.t.Helper()
	_, err := x.Subscribe(subject, func(m *nats.Msg) { x.t.Errorf("stolen: %s", m.Subject) })
	x.cannot("listening on "+subject, err)
}

func (x *thief) cannotSay(subject string, data []byte) {
	x.t.Helper()
	x.cannot("speaking on "+subject, x.Publish(subject, data))
}

// reachesNobody has the thief listen to others, order them, and look for objects.
func (x *thief) reachesNobody(node job.NodeID, id job.ID) {
	x.t.Helper()
	for _, subject := range []string{wire.SubjectStart("gpu-1", node), "longtake.node.gpu-1.>",
		"longtake.node.>", "longtake.node.*.*.start", wire.Inbox("gpu-1") + ".>", "_INBOX.>", ">",
		wire.CoordinatorInbox("c1") + ".>", "longtake.coord.>", wire.SubjectHeartbeat + ".gpu-2",
		wire.SubjectDisk, "longtake.object.>", "$JS.>", "$KV.>", "$O.longtake-objects.>",
		"$KV.longtake-cache.>", "$SYS.>"} {
		x.cannotHear(subject)
	}

	stop := wire.Encode(wire.Stop{Job: id, Attempt: 1})
	for _, subject := range []string{wire.SubjectStop("gpu-1", node),
		wire.SubjectStop("", node), wire.SubjectStart("gpu-2", "n"), wire.SubjectRoutes,
		wire.SubjectDisk, wire.SubjectHeartbeat, wire.Inbox("gpu-1") + ".x", wire.Inbox("gpu-2") + ".x",
		wire.CoordinatorInbox("c1") + ".x", "longtake.object.put.gpu-1", "$JS.API.INFO",
		"$JS.API.STREAM.DELETE.OBJ_longtake-objects", "$JS.API.STREAM.PURGE.OBJ_longtake-objects",
		"$O.longtake-objects.C.x", "$KV.longtake-cache.x", "$SYS.REQ.SERVER.PING"} {
		x.cannotSay(subject, stop)
	}
}

// speaksForNobody sends all that the victim may say: on its subjects NATS refuses it, on the
// thief's own the leader does.
func (x *thief) speaksForNobody(c *Coordinator, node job.NodeID, w wire.Work) {
	x.t.Helper()
	forged := everything(node, w)
	if len(forged) != len(core.Messages()) {
		x.t.Fatalf("%d messages, of %d kinds", len(forged), len(core.Messages()))
	}
	for subject, m := range forged {
		x.cannotSay(wire.Said(subject, "gpu-1"), wire.Encode(m))
		answer, err := x.Request(wire.Said(subject, "gpu-2"), wire.Encode(m), time.Minute)
		if err != nil {
			x.t.Fatal(subject, err)
		}
		if a, err := wire.Decode[wire.Ack](answer.Data); err != nil || a.OK || !strings.Contains(
			a.Reason, core.ErrForeign.Error()) {
			x.t.Errorf("%s: %s, %v", subject, answer.Data, err)
		}
	}
	if n := refusedFor(x.t, c, refusedIdentity); n != len(forged) {
		x.t.Errorf("%d messages are counted of %d", n, len(forged))
	}
}

// isAnsweredAlone asks for answers that go to others.
func (x *thief) isAnsweredAlone(c *Coordinator, node job.NodeID) {
	x.t.Helper()
	beat := wire.Encode(wire.Heartbeat{Node: wire.NewNodeID("gpu-2", "X"), State: wire.Idle})
	for _, reply := range []string{wire.SubjectRoutes, wire.SubjectStop("gpu-1", node),
		wire.Inbox("gpu-1") + ".x", "$JS.API.INFO"} {
		before := refusedFor(x.t, c, refusedReply)
		if err := x.PublishRequest(wire.Said(wire.SubjectHeartbeat, "gpu-2"), reply,
			beat); err != nil {
			x.t.Fatal(err)
		}
		eventually(x.t, "an answer to others is refused", func() bool {
			return refusedFor(x.t, c, refusedReply) == before+1
		})
	}
}

// TestStolenCertificate has the certificate of one shard used against another that runs a job, in
// every way there is. All is refused and counted, and the clip has its bytes.
func TestStolenCertificate(t *testing.T) {
	c, ca := lockedCluster(t)
	victim := lockedFake(t, ca.Identity(t, pki.RoleShard, "gpu-1"))
	victim.join(c)
	if w := victim.register(); !w.Accepted {
		t.Fatal(w)
	}
	id := create(t, c, request(1))
	s := victim.told()
	if m := s.Members[0]; m.Identity != "gpu-1" {
		t.Errorf("the order does not say whose rank 0 is: %+v", m)
	}
	x := newThief(t, c, ca.Identity(t, pki.RoleShard, "gpu-2"))

	x.reachesNobody(victim.id, id)
	x.speaksForNobody(c, victim.id, wire.Work{Job: id, Attempt: 1})
	x.isAnsweredAlone(c, victim.id)
	if n := refusedFor(t, c, string(natsd.RefusedSubject)); n < 40 {
		t.Errorf("%d violations are counted", n)
	}

	// Nothing of that has touched the job.
	if a := victim.finish(c, s); !a.OK {
		t.Fatal(a)
	}
	v := untilState(t, c, id, job.Completed)
	if len(v.Losses) > 0 || v.Result.Video != stored(t, c, string(id)).Video {
		t.Errorf("%+v", v)
	}
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0].Identity != "gpu-1" {
		t.Errorf("nodes are %+v, %v", nodes, err)
	}
}

// TestLockedTakesNoOpenMessages: what clusters without certificates say is heard by nobody, also
// where it comes from within the process.
func TestLockedTakesNoOpenMessages(t *testing.T) {
	c, ca := lockedCluster(t)
	f := lockedFake(t, ca.Identity(t, pki.RoleShard, "gpu-1"))
	f.join(c)
	f.register()
	inside, err := nats.Connect("", c.NATS())
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	for subject, m := range everything(f.id, wire.Work{}) {
		if _, err := inside.Request(subject, wire.Encode(m), time.Minute); !errors.Is(err,
			nats.ErrNoResponders) {
			t.Errorf("%s: %v", subject, err)
		}
	}

	for what, o := range map[string][]nats.Option{"no certificate": nil,
		"another CA": natsd.Locked(pkitest.NewTestAuthority(t, "here").Identity(t, pki.RoleShard, "x"),
			pki.RoleCoordinator, "x"),
		"a coordinator's": natsd.Locked(ca.Identity(t, pki.RoleCoordinator, "c2"),
			pki.RoleCoordinator, "x")} {
		before := refusedFor(t, c, string(natsd.RefusedCertificate))
		if nc, err := nats.Connect(c.ClientURL(), o...); err == nil {
			nc.Close()
			t.Errorf("a client with %s is let in", what)
		}
		eventually(t, "it is counted", func() bool {
			return refusedFor(t, c, string(natsd.RefusedCertificate)) > before
		})
	}
}

// TestRevokedShardIsCutOff: the connection of a shard ends once its identity is revoked.
func TestRevokedShardIsCutOff(t *testing.T) {
	c, ca := lockedCluster(t)
	f := lockedFake(t, ca.Identity(t, pki.RoleShard, "gpu-1"))
	f.join(c)
	f.register()
	nodes := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprint(n, " nodes"), func() bool {
			all, err := c.Nodes(t.Context())
			return err == nil && len(all) == n
		})
	}
	nodes(1)
	c.cfg.Identity.Deny(func(id pki.ID) bool { return id.Name == "gpu-1" })
	nodes(0)
	c.cfg.Identity.Deny(nil)
	nodes(1)
}
