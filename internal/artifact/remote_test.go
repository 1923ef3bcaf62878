package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
)

// remote is a desk on a server of its own, and a node that asks it. The test says what the node may
// do.
type remote struct {
	t    *testing.T
	nc   *nats.Conn
	b    *bucket
	desk *Desk
	node *Remote
	stop func() // has the desk answer no more

	mu      sync.Mutex
	grants  map[string]Grant // by identity
	away    error            // why grants are not known
	room    int64
	refused []string
	known   map[string]bool // objects to which a job refers; nil: all
	now     time.Time
}

// one is what a node works on.
var one = []job.ID{"video_1"}

func newRemote(t *testing.T) *remote {
	t.Helper()
	r := &remote{t: t, nc: serve(t), room: 1 << 40, now: time.Now(), grants: map[string]Grant{
		"a": {Jobs: one, BytesMax: 1 << 40, Objects: map[string]job.Object{}}}}
	s, err := Open(t.Context(), r.nc, "objects", Options{Once: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCache(t.Context(), r.nc, "cache", Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.b = s.(*bucket)
	r.desk = r.newDesk()
	r.desk.Use(s, c)
	r.stop = r.serve(r.desk)
	r.node = r.as("a")
	return r
}

func (r *remote) newDesk() *Desk {
	r.t.Helper()
	d, err := NewDesk(DeskOptions{Dir: r.t.TempDir(), Grant: r.grant,
		Room:    func() int64 { r.mu.Lock(); defer r.mu.Unlock(); return r.room },
		Unknown: r.unknown, Refused: r.note,
		Now: func() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now }})
	if err != nil {
		r.t.Fatal(err)
	}
	d.pause = 0
	r.t.Cleanup(d.Close)
	return d
}

// serve has a desk answer, until the function that it returns is called.
func (r *remote) serve(d *Desk) (stop func()) {
	r.t.Helper()
	sub, err := r.nc.Subscribe("t.*.*", func(m *nats.Msg) {
		token := strings.Split(m.Subject, ".")
		d.Serve(token[2], token[1], m)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return func() { _ = sub.Unsubscribe() }
}

func (r *remote) grant(identity string) (Grant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.grants[identity]
	g.Objects, g.Texts = maps.Clone(g.Objects), maps.Clone(g.Texts)
	return g, r.away
}

func (r *remote) unknown(names []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return r.known == nil || r.known[name]
	})
}

func (r *remote) note(identity, op string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, fmt.Sprintf("%s %s: %v", identity, op, err))
}

// change changes what the desk is told of nodes and the disk.
func (r *remote) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// as is a node of an identity.
func (r *remote) as(identity string) *Remote {
	return NewRemote(r.nc, func(op string) string { return "t." + op + "." + identity })
}

// ask sends a request of a node by hand.
func (r *remote) ask(identity, op string, q request, data []byte) answer {
	r.t.Helper()
	a, _, err := r.as(identity).askOnce(r.t.Context(), op, q, data)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// store is the whole of a Store: what the node does through the desk, and the rest as coordinators
// do it. The node may read what it asks for.
func (r *remote) store() Store { return wholeStore{r.node, r} }

type wholeStore struct {
	*Remote
	r *remote
}

func (w wholeStore) allow(o job.Object) {
	w.r.change(func() { w.r.grants["a"].Objects[o.Name] = o })
}

func (w wholeStore) Get(ctx context.Context, o job.Object) (io.ReadCloser, error) {
	w.allow(o)
	return w.Remote.Get(ctx, o)
}

func (w wholeStore) Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error) {
	w.allow(o)
	return w.Remote.Open(ctx, o)
}

func (w wholeStore) Delete(ctx context.Context, o job.Object) error { return w.r.b.Delete(ctx, o) }

func (w wholeStore) List(ctx context.Context) ([]string, error) { return w.r.b.List(ctx) }

// TestANodeReadsWhatItsJobsHave asks for objects of other jobs, in several ways.
func TestANodeReadsWhatItsJobsHave(t *testing.T) {
	r := newRemote(t)
	mine := put(t, r.b, bytes.Repeat([]byte("m"), 2*chunkBytes))
	other := put(t, r.b, []byte("another job's"))
	r.change(func() { r.grants["a"].Objects[mine.Name] = mine })
	if got, err := get(r.node, mine); err != nil || len(got) != 2*chunkBytes {
		t.Errorf("its own: %d bytes, %v", len(got), err)
	}
	longer := mine
	longer.Size += 4 * chunkBytes
	for _, o := range []job.Object{other, longer} {
		if _, err := get(r.node, o); !errors.Is(err, ErrNotFound) {
			t.Errorf("%.20s of %d bytes: %v", o.Name, o.Size, err)
		}
	}
	if _, err := get(r.as("b"), mine); !errors.Is(err, ErrNotFound) {
		t.Errorf("another node: %v", err)
	}
	if a := r.ask("a", OpGet, request{Object: mine, Chunk: 2}, nil); a.Status != statusMissing {
		t.Errorf("a chunk behind the end: %+v", a)
	}
	if len(r.refused) != 4 || !strings.HasPrefix(r.refused[0], "a get: "+other.Name) {
		t.Errorf("refused: %q", r.refused)
	}
	for what, err := range map[string]error{"delete": r.node.Delete(t.Context(), mine),
		"list": func() error { _, err := r.node.List(t.Context()); return err }()} {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestRanksShareWhatTheyStore reads what another node has stored for the same job, which is not
// recorded, and for another job. Only the latest objects are shared.
func TestRanksShareWhatTheyStore(t *testing.T) {
	r := newRemote(t)
	r.change(func() {
		r.grants["b"] = Grant{Jobs: []job.ID{"video_0", "video_1"}}
		r.grants["c"] = Grant{Jobs: []job.ID{"video_2"}}
	})
	o := put(t, r.node, []byte("latents"))
	if got, err := get(r.as("b"), o); err != nil || string(got) != "latents" {
		t.Errorf("a rank of the same job: %q, %v", got, err)
	}
	if _, err := get(r.as("c"), o); !errors.Is(err, ErrNotFound) {
		t.Errorf("a rank of another job: %v", err)
	}
	if !r.desk.Stored("a", o.Name) || r.desk.Stored("b", o.Name) || r.desk.Stored("x", o.Name) {
		t.Error("who has stored it is not known")
	}
	for i := range nodeRecent {
		put(t, r.node, []byte{byte(i)})
	}
	if _, err := get(r.as("b"), o); !errors.Is(err, ErrNotFound) || len(r.desk.stored) != nodeRecent {
		t.Errorf("%d objects later: %v; %d are known", nodeRecent, err, len(r.desk.stored))
	}
}

// TestOnlyNodesAtWorkStore has nodes without a live attempt store, and one that loses its attempt
// between two chunks.
func TestOnlyNodesAtWorkStore(t *testing.T) {
	r := newRemote(t)
	if _, err := r.as("b").Put(t.Context(), strings.NewReader("x")); !errors.Is(err, ErrRefused) {
		t.Errorf("an idle node: %v", err)
	}
	data := []byte("the last bytes of an attempt")
	o, err := Describe(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	up := r.ask("a", OpPut, request{Object: o}, nil).Upload
	if a := r.ask("b", OpChunk, request{Upload: up}, data); a.Status != statusUnknown {
		t.Errorf("another node's upload: %+v", a)
	}
	if a := r.ask("a", OpChunk, request{Upload: up}, data); a.Status != statusOK {
		t.Errorf("%+v", a)
	}
	r.change(func() { r.grants["a"] = Grant{} })
	if a := r.ask("a", OpEnd, request{Upload: up}, nil); a.Status != statusRefused {
		t.Errorf("after its attempt: %+v", a)
	}
	r.change(func() { r.away = errors.New("no leader") })
	if a := r.ask("a", OpPut, request{Object: o}, nil); a.Status != statusBusy {
		t.Errorf("without a leader: %+v", a)
	}
	if names, err := r.b.List(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("stored: %v, %v", names, err)
	}
}

// TestForgedUploads sends what is not the object that was announced.
func TestForgedUploads(t *testing.T) {
	r := newRemote(t)
	data := bytes.Repeat([]byte("x"), chunkBytes+5)
	o, err := Describe(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Repeat([]byte("y"), 5)
	type part struct {
		i    int
		data []byte
	}
	for what, parts := range map[string][]part{
		"other bytes":         {{0, data[:chunkBytes]}, {1, wrong}},
		"a chunk missing":     {{0, data[:chunkBytes]}},
		"nothing":             nil,
		"a chunk twice":       {{1, data[chunkBytes:]}, {1, data[chunkBytes:]}},
		"more bytes":          {{0, data[:chunkBytes]}, {1, data[:6]}},
		"a chunk too many":    {{0, data[:chunkBytes]}, {1, data[chunkBytes:]}, {2, data[:5]}},
		"a short first chunk": {{0, data[:5]}},
	} {
		a := r.ask("a", OpPut, request{Object: o}, nil)
		for _, p := range parts {
			r.ask("a", OpChunk, request{Upload: a.Upload, Chunk: p.i}, p.data)
		}
		if end := r.ask("a", OpEnd, request{Upload: a.Upload}, nil); end.err() == nil {
			t.Errorf("%s: %+v", what, end)
		}
	}
	if names, err := r.b.List(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("stored: %v, %v", names, err)
	}
	if n := len(r.desk.uploads); n != 0 || r.desk.memory != 0 {
		t.Errorf("%d uploads are left, of %d bytes", n, r.desk.memory)
	}
}

// TestAnObjectIsWrittenOnce hands objects in again: an intact one is not touched, a damaged chunk
// is mended, and JetStream itself takes no other bytes.
func TestAnObjectIsWrittenOnce(t *testing.T) {
	r := newRemote(t)
	data := bytes.Repeat([]byte("x"), 2*chunkBytes)
	o := put(t, r.store(), data)
	last := func() uint64 {
		t.Helper()
		info, err := r.b.stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.LastSeq
	}
	before := last()
	put(t, r.store(), data)
	if now := last(); now != before {
		t.Errorf("%d messages more", now-before)
	}
	subject, err := r.b.subject(o.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.b.js.Publish(t.Context(), subject, []byte("other")); !isThere(err) {
		t.Errorf("other bytes for a chunk: %v", err)
	}
	if err := r.b.stream.DeleteMsg(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if _, err := r.b.js.Publish(t.Context(), subject, []byte("other")); err != nil {
		t.Fatal(err)
	}
	if _, err := get(r.store(), o); !errors.Is(err, ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
	put(t, r.store(), data)
	if got, err := get(r.store(), o); err != nil || !bytes.Equal(got, data) {
		t.Errorf("mended: %v", err)
	}
}

// TestANewLeaderTakesAnUpload has another desk take over between two chunks, as after an election.
func TestANewLeaderTakesAnUpload(t *testing.T) {
	r := newRemote(t)
	next := r.newDesk()
	next.Use(r.b, r.desk.cache)
	data := bytes.Repeat([]byte("long"), 3*chunkBytes)
	src := &interrupted{Reader: bytes.NewReader(data), after: int64(len(data)) + 5*chunkBytes,
		do: func() { r.stop(); r.serve(next) }}
	o, err := r.node.Put(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(r.b, o); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// interrupted does something once, after so many bytes were read of it.
type interrupted struct {
	*bytes.Reader
	after int64
	do    func()
}

func (r *interrupted) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.after -= int64(n); r.after < 0 && r.do != nil {
		r.do()
		r.do = nil
	}
	return n, err
}
