package artifact

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
)

// between reads what lies between two offsets, by Open.
func between(s Store, o job.Object, lo, hi int64) ([]byte, error) {
	r, err := s.Open(context.Background(), o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := r.Seek(lo, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, hi-lo))
}

func TestAnyPartIsRead(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		rapid.Check(t, func(rt *rapid.T) {
			unit := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(rt, "unit")
			data := bytes.Repeat(unit, rapid.IntRange(1, 20000).Draw(rt, "times"))
			o, n := put(t, s, data), int64(len(data))
			lo := rapid.Int64Range(0, n).Draw(rt, "lo")
			hi := rapid.Int64Range(lo, n).Draw(rt, "hi")
			if got, err := between(s, o, lo, hi); err != nil || !bytes.Equal(got, data[lo:hi]) {
				rt.Fatalf("%d to %d of %d: %d bytes, %v", lo, hi, n, len(got), err)
			}
		})
	})
}

// TestOpenSeesDamage damages a chunk that is not asked for, before the first look and after it.
func TestOpenSeesDamage(t *testing.T) {
	nc := serve(t)
	s, err := Open(t.Context(), nc, "objects", Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, data := s.(*bucket), bytes.Repeat([]byte("x"), 3*chunkBytes)
	harm := func(o job.Object, i int) {
		t.Helper()
		subject, err := b.subject(o.Name, i)
		if err == nil {
			_, err = b.js.Publish(t.Context(), subject, make([]byte, chunkBytes))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	o := put(t, s, data)
	harm(o, 2)
	if _, err := between(s, o, 0, 5); !errors.Is(err, ErrDamaged) {
		t.Errorf("another chunk is damaged: %v", err)
	}
	put(t, s, data)
	if got, err := between(s, o, 0, 5); err != nil || string(got) != "xxxxx" {
		t.Errorf("mended: %q, %v", got, err)
	}
	harm(o, 1)
	if got, err := between(s, o, 0, 5); err != nil || string(got) != "xxxxx" {
		t.Errorf("a right chunk, which is known: %q, %v", got, err)
	}
	if got, err := between(s, o, chunkBytes, chunkBytes+5); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged chunk: %q, %v", got, err)
	}
	if _, err := between(s, o, 0, 5); !errors.Is(err, ErrDamaged) {
		t.Errorf("what was seen is forgotten: %v", err)
	}
	put(t, s, data)
	if err := s.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := between(s, o, 0, 5); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func TestOpenSeesSizes(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		o := put(t, s, []byte("the right bytes"))
		short, long, other := o, o, o
		short.Size++
		long.Size--
		other.SHA256 = put(t, s, []byte("others")).SHA256
		for what, o := range map[string]job.Object{"short": short, "long": long, "other": other} {
			if _, err := s.Open(t.Context(), o); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v is not ErrDamaged", what, err)
			}
		}
		for i := range sumsMax + 2 { // some are forgotten, none is lost
			o := put(t, s, []byte{byte(i), byte(i >> 8)})
			if _, err := between(s, o, 0, 2); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := between(s, o, 4, 9); err != nil || string(got) != "right" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
