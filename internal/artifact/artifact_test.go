package artifact

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/iotest"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := natsd.NewServer(&natsd.Options{JetStream: true, StoreDir: t.TempDir(),
		DontListen: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// stores runs f on every kind of Store.
func stores(t *testing.T, f func(t *testing.T, s Store)) {
	t.Run("memory", func(t *testing.T) { f(t, NewMemory()) })
	t.Run("jetstream", func(t *testing.T) {
		s, err := Open(t.Context(), serve(t), "objects", Options{})
		if err != nil {
			t.Fatal(err)
		}
		f(t, s)
	})
	t.Run("remote", func(t *testing.T) { f(t, newRemote(t).store()) })
}

func put(t *testing.T, s Store, data []byte) job.Object {
	t.Helper()
	o, err := s.Put(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	return o
}

func get(s Store, o job.Object) ([]byte, error) {
	r, err := s.Get(context.Background(), o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestWhatIsPutIsGot(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		rapid.Check(t, func(rt *rapid.T) {
			unit := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(rt, "unit")
			data := bytes.Repeat(unit, rapid.IntRange(1, 20000).Draw(rt, "times"))
			o := put(t, s, data)
			got, err := get(s, o)
			if err != nil || !bytes.Equal(got, data) {
				rt.Fatalf("%d bytes, %v; put %d", len(got), err, len(data))
			}
		})
	})
}

func TestTheSameBytesAreKeptOnce(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		a, b := put(t, s, []byte("one")), put(t, s, []byte("one"))
		put(t, s, []byte("two"))
		names, err := s.List(t.Context())
		if err != nil || a != b || len(names) != 2 {
			t.Fatalf("%v, %v: %v, %v", a, b, names, err)
		}
	})
}

func TestDeletedObjectsAreGone(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		o := put(t, s, []byte("gone soon"))
		if err := s.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if _, err := get(s, o); !errors.Is(err, ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v is not ErrNotFound", err)
		}
		if err := s.Delete(t.Context(), o); err != nil {
			t.Errorf("deleted again: %v", err)
		}
		if names, err := s.List(t.Context()); err != nil || len(names) != 0 {
			t.Errorf("left: %v, %v", names, err)
		}
		if again := put(t, s, []byte("gone soon")); again != o {
			t.Errorf("stored again as %v, was %v", again, o)
		}
	})
}

func TestDamageIsSeen(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		o := put(t, s, []byte("the right bytes"))
		short, long, other := o, o, o
		short.Size++
		long.Size--
		other.SHA256 = put(t, s, []byte("others")).SHA256
		for what, o := range map[string]job.Object{"short": short, "long": long, "other": other} {
			if _, err := get(s, o); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v is not ErrDamaged", what, err)
			}
		}
	})
}

func TestABrokenSourceStoresNothing(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		broken := struct {
			io.Reader
			io.Seeker
		}{iotest.ErrReader(errors.New("the disk is gone")), bytes.NewReader(nil)}
		if _, err := s.Put(t.Context(), broken); err == nil {
			t.Error("a broken source was stored")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Put(ended, bytes.NewReader([]byte("late"))); !errors.Is(err, context.Canceled) {
			t.Errorf("after its end, Put says %v", err)
		}
		if names, err := s.List(t.Context()); err != nil || len(names) != 0 {
			t.Errorf("left: %v, %v", names, err)
		}
	})
}

// TestWhatIsLeft holds a bucket to its words: a message for each chunk, nothing after a deletion.
func TestWhatIsLeft(t *testing.T) {
	s, err := Open(t.Context(), serve(t), "objects", Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := put(t, s, bytes.Repeat([]byte("x"), 2*chunkBytes+1))
	put(t, s, bytes.Repeat([]byte("x"), 2*chunkBytes+1))
	if err := s.Delete(t.Context(), put(t, s, []byte("deleted"))); err != nil {
		t.Fatal(err)
	}
	for _, want := range []uint64{3, 0} {
		info, err := s.(*bucket).stream.Info(t.Context())
		if err != nil || info.State.Msgs != want {
			t.Errorf("%d messages, %v; want %d", info.State.Msgs, err, want)
		}
		if err := s.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAChunkThatIsLostOrDamaged(t *testing.T) {
	nc := serve(t)
	s, err := Open(t.Context(), nc, "objects", Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, data := s.(*bucket), bytes.Repeat([]byte("x"), 2*chunkBytes)
	o := put(t, s, data)
	subject, err := b.subject(o.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	harm := map[error]func() error{
		ErrDamaged: func() error {
			_, err := b.js.Publish(t.Context(), subject, make([]byte, chunkBytes))
			return err
		},
		ErrNotFound: func() error {
			return b.stream.Purge(t.Context(), jetstream.WithPurgeSubject(subject))
		},
	}
	for want, do := range harm {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if _, err := get(s, o); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		put(t, s, data)
		if got, err := get(s, o); err != nil || !bytes.Equal(got, data) {
			t.Errorf("stored again: %v", err)
		}
	}
}

func TestNamesOfObjects(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		o := put(t, s, []byte("stays"))
		for _, name := range []string{"", "*", ">", "sha256-*", o.Name + ".0", o.Name[:70]} {
			if _, err := get(s, job.Object{Name: name, Size: 5, SHA256: o.SHA256}); err == nil {
				t.Errorf("%q is read", name)
			}
			_ = s.Delete(t.Context(), job.Object{Name: name})
		}
		if _, err := get(s, o); err != nil {
			t.Error(err)
		}
	})
}

func TestBindNeedsABucket(t *testing.T) {
	nc := serve(t)
	if _, err := Bind(t.Context(), nc, "objects"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("Bind without a bucket: %v", err)
	}
	a, err := Open(t.Context(), nc, "objects", Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Bind(t.Context(), nc, "objects")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(b, put(t, a, []byte("shared"))); err != nil || string(got) != "shared" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAFullBucket has room for one object: the next one is refused as such, what is there stays,
// and after a deletion there is room again.
func TestAFullBucket(t *testing.T) {
	nc := serve(t)
	s, err := Open(t.Context(), nc, "objects", Options{BytesMax: 3 * chunkBytes})
	if err != nil {
		t.Fatal(err)
	}
	first, second := bytes.Repeat([]byte("1"), 2*chunkBytes), bytes.Repeat([]byte("2"), 2*chunkBytes)
	o := put(t, s, first)
	if _, err := s.Put(t.Context(), bytes.NewReader(second)); !errors.Is(err, ErrFull) {
		t.Fatalf("%v is not ErrFull", err)
	}
	for _, bytesMax := range []int64{chunkBytes, 0, 3 * chunkBytes} {
		// A limit below what is there takes nothing away.
		if s, err = Open(t.Context(), nc, "objects", Options{BytesMax: bytesMax}); err != nil {
			t.Fatal(err)
		}
		if got, err := get(s, o); err != nil || !bytes.Equal(got, first) {
			t.Fatalf("limit %d: %v", bytesMax, err)
		}
	}
	if n, err := s.(Sizer).Size(t.Context()); err != nil || n < 2*chunkBytes {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := s.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	put(t, s, second)
}
