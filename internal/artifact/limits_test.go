package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
)

// describe is the object that some bytes would be.
func describe(t testing.TB, data []byte) job.Object {
	t.Helper()
	o, err := Describe(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestANodeCannotHoardUploads opens a thousand uploads of 1 GB and sends nothing: few are taken,
// another node goes on, and all are given up in time.
func TestANodeCannotHoardUploads(t *testing.T) {
	r := newRemote(t)
	r.change(func() { r.grants["b"] = Grant{Jobs: one, BytesMax: 1 << 30} })
	o := describe(t, []byte("x"))
	o.Size = 1 << 30
	taken := 0
	for range 1000 {
		switch a := r.ask("a", OpPut, request{Object: o}, nil); a.Status {
		case statusOK:
			taken++
		case statusBusy:
		default:
			t.Fatalf("%+v", a)
		}
	}
	if taken != nodeUploads {
		t.Errorf("%d uploads are taken", taken)
	}
	if _, err := r.as("b").Put(t.Context(), strings.NewReader("b's")); err != nil {
		t.Errorf("another node: %v", err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r.desk.sweep(r.now.Add(uploadIdle + time.Second))
		r.desk.mu.Lock()
		n, known := len(r.desk.uploads), r.desk.nodes["a"] != nil
		r.desk.mu.Unlock()
		if n == 0 && !known { // an answer may be here before its request is over there
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d uploads are left, and the node: %v", n, known)
		}
	}
}

// TestASlowUploadEnds sends a chunk again and again, and never ends: the upload does.
func TestASlowUploadEnds(t *testing.T) {
	r := newRemote(t)
	data := make([]byte, chunkBytes)
	o := describe(t, append(data, 1))
	up := r.ask("a", OpPut, request{Object: o}, nil).Upload
	for range 40 {
		r.change(func() { r.now = r.now.Add(uploadIdle / 2) })
		r.desk.sweep(r.now)
		if a := r.ask("a", OpChunk, request{Upload: up}, data); a.Status == statusUnknown {
			return
		}
	}
	t.Error("it goes on for 20 minutes")
}

// TestLargeUploadsGoIntoFiles takes more than memory is used for, while the disk has room, and
// deletes what an earlier process has left.
func TestLargeUploadsGoIntoFiles(t *testing.T) {
	r := newRemote(t)
	r.desk.memory = spoolAll // of others
	data := bytes.Repeat([]byte("large"), 2*chunkBytes)
	src := &interrupted{Reader: bytes.NewReader(data), after: 19 * chunkBytes, do: func() {
		if n := r.files(); n != 1 {
			t.Errorf("%d files while it is taken", n)
		}
	}}
	o, err := r.node.Put(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(r.b, o); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := r.files(); n != 0 || r.desk.spooled != 0 {
		t.Errorf("%d files of %d bytes are left", n, r.desk.spooled)
	}

	left := filepath.Join(r.desk.o.Dir, "upload-1")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := NewDesk(r.desk.o)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if n := r.files(); n != 0 {
		t.Errorf("%d files outlive a restart", n)
	}
}

// files counts the uploads in files.
func (r *remote) files() int {
	names, _ := filepath.Glob(filepath.Join(r.desk.o.Dir, "*"))
	return len(names)
}

// TestAFullDiskTakesNoUploads has the room go while an upload is taken, and come back.
func TestAFullDiskTakesNoUploads(t *testing.T) {
	r := newRemote(t)
	data := bytes.Repeat([]byte("large"), chunkBytes)
	r.change(func() { r.room = int64(len(data)) - 1 })
	if _, err := r.node.Put(t.Context(), bytes.NewReader(data)); !errors.Is(err, ErrFull) {
		t.Errorf("without room: %v", err)
	}
	r.change(func() { r.room = 1 << 40 })
	r.desk.memory = spoolAll
	src := &interrupted{Reader: bytes.NewReader(data), after: 6 * chunkBytes,
		do: func() { r.change(func() { r.room = chunkBytes }) }}
	if _, err := r.node.Put(t.Context(), src); !errors.Is(err, ErrFull) {
		t.Errorf("while it is taken: %v", err)
	}
	if n := r.files(); n != 0 || r.desk.spooled != 0 {
		t.Errorf("%d files of %d bytes are left", n, r.desk.spooled)
	}
	r.change(func() { r.room = 1 << 40 })
	put(t, r.store(), data)
}

// TestANodeStoresForItsJobs stores objects that nobody records: not more than its jobs take. Once a
// job refers to them there is room for others.
func TestANodeStoresForItsJobs(t *testing.T) {
	r := newRemote(t)
	r.change(func() {
		r.grants["a"], r.known = Grant{Jobs: one, BytesMax: 10}, map[string]bool{}
	})
	for i, data := range []string{"12345", "67890", "full"} {
		_, err := r.node.Put(t.Context(), strings.NewReader(data))
		if full := errors.Is(err, ErrFull); full != (i == 2) || err != nil && !full {
			t.Fatalf("%q: %v", data, err)
		}
	}
	r.change(func() { r.known[describe(t, []byte("67890")).Name] = true })
	if _, err := r.node.Put(t.Context(), strings.NewReader("full")); err != nil {
		t.Errorf("once one is recorded: %v", err)
	}
	_, err := r.node.Put(t.Context(), strings.NewReader("more than ten"))
	if !errors.Is(err, ErrFull) {
		t.Errorf("larger than all its jobs take: %v", err)
	}
}

// TestWhatWasDeletedTakesNoRoom stores many objects that are replaced and deleted, as checkpoints
// of a clip with short steps are: no job refers to them, and they are in the trash no more.
func TestWhatWasDeletedTakesNoRoom(t *testing.T) {
	r := newRemote(t)
	r.change(func() { r.known = map[string]bool{} })
	for i := range nodeObjects + 8 {
		o, err := r.node.Put(t.Context(), strings.NewReader(fmt.Sprint("checkpoint ", i)))
		if err != nil {
			t.Fatalf("object %d, after those before were deleted: %v", i, err)
		}
		if err := r.b.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRemoteValues puts values of texts into the cache: they are found by who works for the same
// owner on the same text, stay as they were put first, and are nowhere else.
func TestRemoteValues(t *testing.T) {
	r := newRemote(t)
	red, sea := TextSum("a red ball"), TextSum("the sea")
	r.change(func() {
		r.grants["a"] = Grant{Jobs: one, Texts: map[string]string{red: "k1"}}
		r.grants["b"] = Grant{Jobs: one, Texts: map[string]string{red: "k1", sea: "k1"}}
		r.grants["c"] = Grant{Jobs: one, Texts: map[string]string{red: "k2"}}
	})
	a, b, c := r.as("a"), r.as("b"), r.as("c")
	value := bytes.Repeat([]byte("embeds"), chunkBytes)
	for _, v := range [][]byte{value, []byte("poison")} {
		if err := a.Cache("a red ball").Put(t.Context(), "k", v); err != nil {
			t.Fatal(err)
		}
		got, err := b.Cache("a red ball").Get(t.Context(), "k")
		if err != nil || !bytes.Equal(got, value) {
			t.Errorf("the owner's other node: %d bytes, %v", len(got), err)
		}
	}
	for what, get := range map[string]Cache{"another text": b.Cache("the sea"),
		"a text of no job": a.Cache("the sea"), "another owner": c.Cache("a red ball")} {
		if _, err := get.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := a.Cache("the sea").Put(t.Context(), "k", value); !errors.Is(err, ErrNotFound) {
		t.Errorf("for a text of no job: %v", err)
	}
	err := a.Cache("a red ball").Put(t.Context(), "large", make([]byte, CacheValueMax+1))
	if err == nil {
		t.Error("a value of more than CacheValueMax bytes is taken")
	}
}

// FuzzDesk sends any requests and chunks: no panic, and nothing is stored but what its name says.
func FuzzDesk(f *testing.F) {
	for _, op := range []string{OpPut, OpChunk, OpEnd, OpGet, "x"} {
		f.Add(op, `{"object":{"name":"sha256-0","size":3,"sha256":"0"}}`, []byte("abc"))
	}
	sum := TextSum("abc")
	f.Add(OpPut, `{"object":{"name":"sha256-`+sum+`","size":3,"sha256":"`+sum+`"}}`, []byte(nil))
	f.Add(OpPut, `{"object":{"name":"sha256-`+sum+`","size":9223372036854775807,"sha256":"`+sum+`"}}`,
		[]byte(nil))
	f.Add(OpGet, `{"key":"k","text":"`+sum+`","chunk":-1}`, []byte(nil))
	d, err := NewDesk(DeskOptions{Dir: f.TempDir(), Room: func() int64 { return 1 << 40 },
		Grant:   func(string) (Grant, error) { return Grant{Jobs: one, BytesMax: 1 << 40}, nil },
		Refused: func(string, string, error) {}})
	if err != nil {
		f.Fatal(err)
	}
	d.pause = 0
	f.Cleanup(d.Close)
	f.Fuzz(func(t *testing.T, op, text string, data []byte) {
		n := &deskNode{identity: "a"}
		m := &nats.Msg{Header: nats.Header{headerRequest: {text}}, Data: data}
		a, _ := d.handle(n, op, m)
		if op != OpPut || a.Status != statusOK {
			return
		}
		var q request
		if err := json.Unmarshal([]byte(text), &q); err != nil || q.Object.Size < 0 {
			t.Fatalf("%s is taken: %v", text, err)
		}
		u, err := d.find(n, a.Upload)
		if err != nil {
			t.Fatal(err)
		}
		defer d.drop(u)
		if d.take(n, request{Upload: a.Upload}, data) != nil || u.left > 0 {
			return
		}
		h, err := Describe(context.Background(), readSeeker{u.spool.reader()})
		if err != nil || h.Size != q.Object.Size {
			t.Fatalf("%d bytes of %d: %v", h.Size, q.Object.Size, err)
		}
	})
}

// readSeeker reads a spool, which is at its start.
type readSeeker struct{ io.Reader }

func (readSeeker) Seek(int64, int) (int64, error) { return 0, nil }
