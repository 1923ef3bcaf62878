package coord

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
	"github.com/longtake/longtake/internal/wire"
)

// storer is a node of a locked cluster that stores objects, as a shard does.
type storer struct {
	*shardFake
	*artifact.Remote
	step int // of the latest checkpoint
}

// newStorer has a node join.
func newStorer(t *testing.T, c *Coordinator, ca *pkitest.Authority, name string) *storer {
	t.Helper()
	i := ca.Identity(t, pki.RoleShard, name)
	f := lockedFake(t, i)
	f.join(c)
	if w := f.register(); !w.Accepted {
		t.Fatal(w)
	}
	nc, err := nats.Connect(c.ClientURL(), natsd.Locked(i, pki.RoleCoordinator, wire.Inbox(name))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &storer{shardFake: f, Remote: artifact.NewRemote(nc, func(op string) string {
		return wire.SubjectObject(op, name)
	})}
}

// put stores bytes.
func (s *storer) put(data string) job.Object {
	s.t.Helper()
	o, err := s.Put(s.t.Context(), strings.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// save stores a checkpoint and has it recorded.
func (s *storer) save(order wire.StartOrder, data string) job.Object {
	s.t.Helper()
	o := s.put(data)
	s.record(order, o)
	return o
}

// record has a checkpoint recorded that is stored.
func (s *storer) record(order wire.StartOrder, o job.Object) {
	s.t.Helper()
	if a := s.say(order, o); !a.OK {
		s.t.Fatal(a)
	}
}

// say reports an object as the job's next checkpoint.
func (s *storer) say(order wire.StartOrder, o job.Object) wire.Ack {
	s.t.Helper()
	s.step++
	a, err := ask[wire.Ack](s.shardFake, wire.SubjectSaved, wire.Saved{Node: s.id,
		Work:       wire.Work{Job: order.Plan.Job, Attempt: order.Plan.Attempt},
		Checkpoint: job.Checkpoint{Step: s.step, Object: o}})
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// read returns the bytes of an object, as the node gets them.
func (s *storer) read(o job.Object) (string, error) {
	r, err := s.Get(s.t.Context(), o)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

// TestStolenCertificateAndObjects has two shards of a locked cluster store and read at the desk.
// One of them then tries what its certificate is good for: it reaches no object of the other's job,
// and cannot change what is stored.
func TestStolenCertificateAndObjects(t *testing.T) {
	c, ca := lockedCluster(t)
	a, b := newStorer(t, c, ca, "gpu-1"), newStorer(t, c, ca, "gpu-2")
	_, err := b.Put(t.Context(), strings.NewReader("early"))
	if !errors.Is(err, artifact.ErrRefused) {
		t.Errorf("an idle shard stores: %v", err)
	}
	first := create(t, c, request(1))
	second := request(1)
	second.Prompt = "another ball"
	create(t, c, second)
	orders := [2]wire.StartOrder{a.told(), b.told()}
	if orders[0].Plan.Job != first { // of the two shards either may have the first job
		a, b, orders[0], orders[1] = b, a, orders[1], orders[0]
	}
	theirs, mine := a.save(orders[0], "theirs"), b.save(orders[1], "mine")
	if got, err := b.read(mine); err != nil || got != "mine" {
		t.Errorf("its own checkpoint: %q, %v", got, err)
	}

	// Reading: neither by Get nor by Open, nor under its own name with other bytes.
	before := refusedFor(t, c, refusedObject)
	if got, err := b.read(theirs); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("another job's checkpoint: %q, %v", got, err)
	}
	if _, err := b.Open(t.Context(), theirs); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("another job's checkpoint: %v", err)
	}
	if n := refusedFor(t, c, refusedObject); n != before+2 {
		t.Errorf("%d refusals are counted", n-before)
	}

	// Nor by way of a report that its own job has it.
	if a := b.say(orders[1], theirs); a.OK || !strings.Contains(a.Reason, "another job's") {
		t.Errorf("another job's checkpoint as its own: %+v", a)
	}
	if same := b.put("theirs"); same != theirs {
		t.Errorf("%v, want %v", same, theirs)
	} else if a := b.say(orders[1], same); !a.OK {
		t.Errorf("the same bytes, which it has: %+v", a)
	}

	hasOwnTexts(t, a, b)
	cannotWrite(t, newThief(t, c, ca.Identity(t, pki.RoleShard, "gpu-3")), theirs)

	// Not even a coordinator's client overwrites by mistake, and all is as it was.
	chunk := wire.Bucket + "." + theirs.Name + ".0"
	if _, err := c.broker.conn.Request(chunk, []byte("other"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got, err := a.read(theirs); err != nil || got != "theirs" {
		t.Errorf("the other's checkpoint is %q, %v", got, err)
	}
}

// hasOwnTexts wants b, which works on another ball, to reach values of that text alone, of which the
// first one stays; a works on a ball.
func hasOwnTexts(t *testing.T, a, b *storer) {
	t.Helper()
	own, foreign := b.Cache("another ball"), b.Cache("a ball")
	for _, v := range []string{"embeds", "poison"} {
		if err := own.Put(t.Context(), "k", []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := own.Get(t.Context(), "k"); err != nil || string(v) != "embeds" {
		t.Errorf("its own text: %q, %v", v, err)
	}
	if err := a.Cache("a ball").Put(t.Context(), "k", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if v, err := foreign.Get(t.Context(), "k"); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("another job's text: %q, %v", v, err)
	}
	if err := foreign.Put(t.Context(), "k", []byte("poison")); err == nil {
		t.Error("another job's text is poisoned")
	}
}

// cannotWrite wants NATS to let a thief reach neither the bucket, nor the desk as another shard.
func cannotWrite(t *testing.T, x *thief, o job.Object) {
	t.Helper()
	chunk := wire.Bucket + "." + o.Name + ".0"
	for _, subject := range []string{chunk, wire.Cache + ".k.0", "$JS.API.STREAM.INFO." + wire.Bucket,
		"$JS.API.STREAM.MSG.GET." + wire.Bucket, "$JS.API.DIRECT.GET." + wire.Bucket + "." + chunk,
		"$JS.API.STREAM.PURGE." + wire.Bucket, "$JS.API.STREAM.DELETE." + wire.Bucket,
		"$JS.API.STREAM.MSG.DELETE." + wire.Bucket, "$JS.API.STREAM.UPDATE." + wire.Bucket,
		wire.SubjectObject(artifact.OpGet, "gpu-1"), wire.SubjectObject(artifact.OpEnd, "gpu-2")} {
		x.cannotSay(subject, []byte("<script>"))
	}
}

// TestADeskOnAFullDisk fills the disk of a locked cluster: a shard is told that there is no room,
// and stores its clip once there is.
func TestADeskOnAFullDisk(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "here")
	cfg, free := tightDisk(t)
	cfg.ID, cfg.NATS.Listen = "c1", "127.0.0.1:0"
	cfg.Identity = ca.Identity(t, pki.RoleCoordinator, cfg.ID)
	c := start(t, cfg)
	s := newStorer(t, c, ca, "gpu-1")
	create(t, c, request(1))
	order := s.told()
	free.Store(8 << 20)
	eventually(t, "there is no room", func() bool {
		_, err := s.Put(t.Context(), bytes.NewReader([]byte("a clip")))
		return errors.Is(err, artifact.ErrFull)
	})
	free.Store(800 << 20)
	eventually(t, "there is room", func() bool {
		_, err := s.Put(t.Context(), bytes.NewReader([]byte("a clip")))
		return err == nil
	})
	s.save(order, "a checkpoint")
	stream := bucketConfig(t, c)
	if !stream.DiscardNewPerSubject || stream.MaxBytes <= 0 || stream.MaxBytes >= 1<<30 {
		t.Errorf("the bucket overwrites, or may fill the disk: %+v", stream)
	}
}

// bucketConfig is how JetStream keeps objects.
func bucketConfig(t *testing.T, c *Coordinator) jetstream.StreamConfig {
	t.Helper()
	js, err := jetstream.New(c.broker.conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

// TestAnUploadOutlivesTheLeader ends the coordinator that takes an upload while it is sent: the
// next leader takes it, and knows without being told that the node may store it.
func TestAnUploadOutlivesTheLeader(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "here")
	all, _ := three(t, func(c *Config) {
		c.Identity = ca.Identity(t, pki.RoleCoordinator, c.ID)
		c.NATS.Listen = "127.0.0.1:0"
		c.Timing.LostAfter, c.Timing.Grace = time.Minute, time.Minute // however loaded this machine is
	})
	s := newStorer(t, all[1], ca, "gpu-1")
	create(t, all[0], request(1))
	order := s.told()

	src := &dying{Reader: bytes.NewReader(bytes.Repeat([]byte("checkpoint"), 400<<10)),
		after: 6 << 20, die: func() { closed(t, all[0]) }}
	var o job.Object
	eventually(t, "another leader takes it", func() (ok bool) {
		var err error
		o, err = s.Put(t.Context(), src)
		return err == nil
	})
	if src.die != nil {
		t.Error("the leader outlives the upload")
	}
	if got, err := s.read(o); err != nil || int64(len(got)) != o.Size {
		t.Errorf("before it is recorded: %d bytes, %v", len(got), err)
	}
	lead := leaderOf(t, all[1:])
	s.record(order, o)
	r, err := lead.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

// dying does something once, after so many bytes were read of it.
type dying struct {
	*bytes.Reader
	after int
	die   func()
}

func (d *dying) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if d.after -= n; d.after < 0 && d.die != nil {
		d.die()
		d.die = nil
	}
	return n, err
}
