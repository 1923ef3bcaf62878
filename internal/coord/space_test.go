package coord

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/disk"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// tightDisk is a configuration on a disk of 1 GB, of which the test says how much is free.
func tightDisk(t *testing.T) (Config, *atomic.Int64) {
	free := new(atomic.Int64)
	free.Store(800 << 20)
	cfg := testConfig(t.TempDir())
	cfg.room = func(string) (disk.Room, error) { return disk.Room{Free: free.Load(), Total: 1 << 30}, nil }
	return cfg, free
}

// TestAFullDisk fills the disk while a job runs and another one waits: no more is taken, and the
// shard is told to store nothing. What is there is read, cancelled and deleted all the same; with
// room again all goes on.
func TestAFullDisk(t *testing.T) {
	ctx := context.Background()
	cfg, free := tightDisk(t)
	c := start(t, cfg)
	f := fake(t, c, "a")
	done := create(t, c, request(1))
	if a := f.finish(c, f.told()); !a.OK {
		t.Fatal(a)
	}
	untilState(t, c, done, job.Completed)
	kept := request(1)
	kept.Key = "k"
	busy := create(t, c, kept)
	s := f.told()
	beat := func() wire.Pulse {
		p, err := ask[wire.Pulse](f, wire.SubjectHeartbeat, wire.Heartbeat{Node: f.id, State: wire.Busy,
			Work: wire.Work{Job: busy, Attempt: s.Plan.Attempt}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := beat(); p.Full || p.Stuck {
		t.Errorf("with room: %+v", p)
	}
	waiting := create(t, c, request(1))
	free.Store(30 << 20)
	eventually(t, "no more checkpoints are wanted", func() bool { return beat().Full })
	if beat().Stuck {
		t.Error("nor is a clip that is done")
	}
	free.Store(8 << 20)
	eventually(t, "nothing more is wanted", func() bool { return beat().Stuck })
	refusesAll(t, c, kept, done)
	readsAndDeletes(t, c, done)
	extra := createIn(t, c, free)
	eventually(t, "the disk is full again", func() bool { return beat().Stuck })
	if _, err := c.Cancel(ctx, extra); err != nil {
		t.Error(err)
	}
	if a := f.finish(c, s); !a.OK {
		t.Error(a)
	}
	until(t, c, waiting, "waiting for room", func(v View) bool {
		return strings.HasPrefix(v.Waiting, "waits for room")
	})
	free.Store(800 << 20)
	f.told()
	create(t, c, request(1))
}

// refusesAll wants nothing new to be taken, but a job that was created before.
func refusesAll(t *testing.T, c *Coordinator, kept job.Request, done job.ID) {
	t.Helper()
	ctx := t.Context()
	if _, err := c.Create(ctx, request(1)); !errors.Is(err, ErrNoSpace) ||
		!strings.Contains(err.Error(), "limits.disk-reserve") {
		t.Errorf("a job on a full disk: %v", err)
	}
	if _, err := c.Retry(ctx, done); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a job again on a full disk: %v", err)
	}
	if r, err := c.Create(ctx, kept); err != nil || r.Key != kept.Key {
		t.Errorf("a job that was created before: %v, %v", r.ID, err)
	}
	if _, err := c.StoreInput(ctx, bytes.NewReader([]byte("x"))); !errors.Is(err, ErrNoSpace) {
		t.Errorf("an input on a full disk: %v", err)
	}
	if st, err := c.Status(ctx); err != nil || st.Space.Full == "" || c.Ready(ctx) != nil {
		t.Errorf("%+v, %v", st.Space, err)
	}
}

// readsAndDeletes reads a completed job and deletes it.
func readsAndDeletes(t *testing.T, c *Coordinator, done job.ID) {
	t.Helper()
	ctx := t.Context()
	v, err := c.Get(ctx, done)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Open(ctx, v.Result.Video)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := c.Delete(ctx, done); err != nil {
		t.Error(err)
	}
}

// createIn creates a job in a moment in which there is room.
func createIn(t *testing.T, c *Coordinator, free *atomic.Int64) (id job.ID) {
	t.Helper()
	was := free.Swap(800 << 20)
	defer free.Store(was)
	r := request(2)
	eventually(t, "there is room", func() bool {
		rec, err := c.Create(t.Context(), r)
		id = rec.ID
		return err == nil
	})
	return id
}

// TestAQuota has what stored objects may take used up: no job is taken until one is deleted.
func TestAQuota(t *testing.T) {
	ctx := context.Background()
	cfg, _ := tightDisk(t)
	cfg.Limits.Disk = 4 << 20
	c := start(t, cfg)
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	s := f.told()
	store := *c.objects.Load()
	big, err := store.Put(ctx, bytes.NewReader(bytes.Repeat([]byte("v"), 4080<<10)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Put(ctx, bytes.NewReader(bytes.Repeat([]byte("w"), 200<<10)))
	if !errors.Is(err, artifact.ErrFull) {
		t.Errorf("beyond the quota: %v", err)
	}
	a, err := ask[wire.Ack](f, wire.SubjectComplete, wire.Completion{Node: f.id, Work: wire.Work{Job: id,
		Attempt: s.Plan.Attempt}, Result: job.Result{Video: big, Latents: big,
		ContentType: "video/webm"}})
	if err != nil || !a.OK {
		t.Fatal(a, err)
	}
	f.over(s.Plan.Attempt)
	eventually(t, "the store is full", func() bool {
		st, err := c.Status(ctx)
		return err == nil && st.Space.Full != ""
	})
	if _, err := c.Create(ctx, request(1)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a job for a full store: %v", err)
	}
	if err := c.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is room", func() bool {
		_, err := c.Create(ctx, request(1))
		return err == nil
	})
}

// TestAnotherCoordinatorsDisk hears of a full disk elsewhere: the leader takes no more jobs, and
// does again when it hears that there is room.
func TestAnotherCoordinatorsDisk(t *testing.T) {
	cfg, _ := tightDisk(t)
	c := start(t, cfg)
	f := fake(t, c, "a")
	for _, d := range []wire.Disk{{ID: "c2", Stage: 1, Reason: "the disk of c2 is full"}, {ID: "c2"}} {
		if a, err := ask[wire.Ack](f, wire.SubjectDisk, d); err != nil || !a.OK {
			t.Fatal(a, err)
		}
		_, err := c.Create(t.Context(), request(1))
		if full := errors.Is(err, ErrNoSpace); full != (d.Stage > 0) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// TestTheReserveIsSpentOnce runs what finds the disk full: it is given the reserve and a second
// try.
func TestTheReserveIsSpentOnce(t *testing.T) {
	cfg, free := tightDisk(t)
	cfg.fill()
	s := newSpace(cfg)
	if s.ballast.Size() != s.reserve/4 {
		t.Fatalf("%d bytes are kept back", s.ballast.Size())
	}
	tries := 0
	f := func() error {
		if tries++; s.ballast.Size() > 0 {
			return syscall.ENOSPC
		}
		return nil
	}
	if err := s.spend(f); err != nil || tries != 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
	full := func() error { return syscall.ENOSPC }
	if err := s.spend(full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("with nothing left: %v", err)
	}
	s.look()
	if s.ballast.Size() == 0 {
		t.Error("with room again nothing is kept back")
	}
	free.Store(1 << 20)
	s.look()
	if s.ballast.Size() != 0 {
		t.Error("the reserve is kept on a full disk")
	}
}

// TestNATSComesBack restarts the broker under a leader, as after a full disk: nodes are still
// there, and what was stored is.
func TestNATSComesBack(t *testing.T) {
	cfg, _ := tightDisk(t)
	cfg.NATS.Listen, cfg.Timing.LostAfter = "127.0.0.1:0", 5*time.Second
	c := start(t, cfg)
	f := fake(t, c, "a")
	id, url := create(t, c, request(1)), c.ClientURL()
	s := f.told()
	c.broker.note("filestore: write x: no space left on device")
	eventually(t, "NATS is restarted", func() bool {
		return !c.broker.hurt.Load() && !c.broker.away.Load()
	})
	eventually(t, "the node is there", func() bool {
		_, err := ask[wire.Pulse](f, wire.SubjectHeartbeat, wire.Heartbeat{Node: f.id})
		return err == nil && c.Ready(t.Context()) == nil
	})
	if c.ClientURL() != url {
		t.Errorf("NATS moved from %s to %s", url, c.ClientURL())
	}
	if a := f.finish(c, s); !a.OK {
		t.Fatal(a)
	}
	untilState(t, c, id, job.Completed)
}

// TestALogOfLargeJobs creates and cancels jobs with long prompts, of which few are kept: neither
// Raft's log nor its snapshots grow with their number.
func TestALogOfLargeJobs(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Limits.Kept, cfg.logBytes = 8, 1<<20
	c := start(t, cfg)
	fake(t, c, "a")
	r := request(2) // it waits
	r.Prompt = strings.Repeat("x", 32<<10)
	for i := range 150 { // 4.8 MB of prompts
		id := create(t, c, r)
		if _, err := c.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			c.shortenLog()
		}
	}
	taken := int64(0)
	err := filepath.WalkDir(cfg.Data, func(path string, d fs.DirEntry, err error) error {
		if strings.Contains(path, "snapshots") || d.Name() == "raft.db" {
			if info, err := d.Info(); err == nil {
				taken += info.Size()
			}
		}
		return err
	})
	if err != nil || taken > 5<<20 {
		t.Errorf("log and snapshots take %d bytes, %v", taken, err)
	}
	first, err := c.cons.store.FirstIndex()
	if last, err2 := c.cons.store.LastIndex(); err != nil || err2 != nil || last-first > 150 {
		t.Errorf("the log has entries from %d to %d, %v, %v", first, last, err, err2)
	}
}

// TestAJobThatTakesTooMuch asks for clips that are larger than what may be stored, or than what is
// left: the first are refused for good, the others until there is room. None of them begins.
func TestAJobThatTakesTooMuch(t *testing.T) {
	ctx := t.Context()
	cfg, free := tightDisk(t)
	cfg.Limits.Disk = 100 << 20
	c := start(t, cfg)
	f := fake(t, c, "a")
	large := func(frames int) job.Request {
		r := request(1)
		width, height := 1024, 1024
		r.Width, r.Height, r.Frames = &width, &height, &frames
		return r
	}
	var field *job.FieldError
	if _, err := c.Create(ctx, large(81)); !errors.As(err, &field) ||
		!strings.Contains(err.Error(), "up to 105 MB") {
		t.Errorf("more than the quota: %v", err)
	}
	first := create(t, c, large(17)) // 65 MB
	s := f.told()
	if _, err := c.Create(ctx, large(17)); !errors.Is(err, ErrNoSpace) ||
		!strings.Contains(err.Error(), "promised") {
		t.Errorf("more than is left: %v", err)
	}
	id := create(t, c, request(1))
	free.Store(70 << 20) // of which 51 MB are kept back
	if a := f.finish(c, s); !a.OK {
		t.Fatal(a)
	}
	untilState(t, c, first, job.Completed)
	f.finish(c, f.told())
	untilState(t, c, id, job.Completed)
	eventually(t, "what others take of the disk is seen", func() bool { return left(c) < 40<<20 })
	if _, err := c.Create(ctx, large(17)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("more than others leave: %v", err)
	}
	free.Store(800 << 20)
	eventually(t, "there is room", func() bool {
		_, err := c.Create(ctx, large(17))
		return err == nil
	})
	f.told()
}

// TestAStartWaitsForRoom starts a coordinator on a disk that has nothing left: it gives up with its
// context, and starts once there is room.
func TestAStartWaitsForRoom(t *testing.T) {
	cfg, free := tightDisk(t)
	free.Store(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := Start(ctx, cfg); !errors.Is(err, ErrNoSpace) {
		t.Errorf("%v, %v", c, err)
	}
	free.Store(1 << 20)
	room := cfg.room
	looks := 0
	cfg.room = func(dir string) (disk.Room, error) {
		if looks++; looks == 3 {
			free.Store(800 << 20)
		}
		return room(dir)
	}
	start(t, cfg)
}
