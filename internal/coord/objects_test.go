package coord

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord/wire"
	"github.com/longtake/longtake/internal/job"
)

// TestInputsStayForTheirJobs stores an input: it stays as long as a job starts from it, and goes
// with the last one; one that no job has come for goes when its time is over.
func TestInputsStayForTheirJobs(t *testing.T) {
	ctx := context.Background()
	c := start(t, config(t.TempDir()))
	fake(t, c, "a", func(r *wire.Registration) { r.Model.Extends = true })
	eventually(t, "the object store is open", func() bool { return c.objects.Load() != nil })
	store := func(text string) job.Object {
		t.Helper()
		o, err := c.StoreInput(ctx, bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	in := store("a picture")
	r := request(1)
	r.Start = job.Start{Kind: job.StartImage, Object: in, Latents: 1}
	r.Shards = 2 // it waits
	id := create(t, c, r)
	f, err := c.Open(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); string(b) != "a picture" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	f.Close()
	if _, err := c.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	gone := func(o job.Object) func() bool {
		return func() bool {
			r, err := c.Open(ctx, o)
			if err == nil {
				r.Close()
			}
			return errors.Is(err, ErrNotFound)
		}
	}
	eventually(t, "the input is deleted with its job", gone(in))
	if _, err := c.Create(ctx, r); !errors.Is(err, ErrNotFound) {
		t.Errorf("a start that is gone: %v", err)
	}
	late := store("another")
	_, err = c.commit(command{Kind: kindLease, Lease: &lease{late, time.Now().Add(-time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "an input without a job is deleted", gone(late))
}
