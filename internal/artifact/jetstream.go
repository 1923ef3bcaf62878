package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/longtake/longtake/internal/job"
)

// chunkBytes is the size of the messages that an object is cut into; NATS allows 1 MiB.
const chunkBytes = 512 << 10

// Options say how a bucket keeps its objects.
type Options struct {
	Replicas int   // copies on different servers; 0 is 1
	BytesMax int64 // of all objects together; 0: what JetStream has
}

// bucket is a Store on a JetStream object store.
type bucket struct{ os jetstream.ObjectStore }

// Open opens a bucket, which it makes if there is none yet.
func Open(ctx context.Context, js jetstream.JetStream, name string, o Options) (Store, error) {
	os, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: name,
		Description: "latents and videos of longtake", Storage: jetstream.FileStorage,
		Replicas: max(o.Replicas, 1), MaxBytes: max(o.BytesMax, -1)})
	if err != nil {
		return nil, fmt.Errorf("cannot open the object store %s: %w", name, err)
	}
	return &bucket{os}, nil
}

// Bind opens a bucket that exists.
func Bind(ctx context.Context, js jetstream.JetStream, name string) (Store, error) {
	os, err := js.ObjectStore(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("cannot open the object store %s: %w", name, err)
	}
	return &bucket{os}, nil
}

// Put implements Store.
func (b *bucket) Put(ctx context.Context, r io.ReadSeeker) (job.Object, error) {
	o, err := Describe(ctx, r)
	if err != nil {
		return job.Object{}, fmt.Errorf("cannot read what is to be stored: %w", err)
	}
	info, err := b.os.GetInfo(ctx, o.Name)
	if err == nil && info.Size == uint64(o.Size) {
		return o, nil
	}
	meta := jetstream.ObjectMeta{Name: o.Name,
		Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkSize(o.Size)}}
	put, cancel := late(ctx)
	defer cancel()
	if info, err = b.os.Put(put, meta, lingering{contextReader{ctx, r}}); err != nil {
		return job.Object{}, fmt.Errorf("cannot store %s of %d bytes: %w", o.Name, o.Size, err)
	}
	if info.Size != uint64(o.Size) {
		return job.Object{}, fmt.Errorf("cannot store %s: %w: %d of %d bytes arrived", o.Name,
			ErrDamaged, info.Size, o.Size)
	}
	return o, nil
}

// chunkSize is that of an object of so many bytes: Put makes a buffer of it.
func chunkSize(n int64) uint32 {
	return uint32(min(max(n, 1), chunkBytes)) //nolint:gosec // bounded
}

// nats.go 1.55 starts a goroutine with the first part of every Put; if Put ends before that
// goroutine has begun, it never ends. linger is what Put is held up by, so that it begins, on a
// machine with more to do than cores too.
const linger = 5 * time.Millisecond

// lingering waits where the reading ends, well or not.
type lingering struct{ r io.Reader }

// Read implements io.Reader.
func (l lingering) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if err != nil {
		time.Sleep(linger)
	}
	return n, err
}

// late returns a context that ends a little after ctx: Put then hears of the end from its reader.
func late(ctx context.Context) (context.Context, func()) {
	after, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.Sleep(5 * linger)
		cancel()
	})
	return after, func() {
		stop()
		cancel()
	}
}

// Get implements Store.
func (b *bucket) Get(ctx context.Context, o job.Object) (io.ReadCloser, error) {
	r, err := b.os.Get(ctx, o.Name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %.80s: %w", o.Name, notFound(err))
	}
	return verify(r, o), nil
}

// Delete implements Store.
func (b *bucket) Delete(ctx context.Context, o job.Object) error {
	_, err := b.os.GetInfo(ctx, o.Name)
	if err == nil {
		err = b.os.Delete(ctx, o.Name)
	}
	if err != nil {
		return fmt.Errorf("cannot delete %.80s: %w", o.Name, notFound(err))
	}
	return nil
}

// List implements Store.
func (b *bucket) List(ctx context.Context) ([]string, error) {
	infos, err := b.os.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the objects: %w", err)
	}
	var names []string
	for _, i := range infos {
		names = append(names, i.Name)
	}
	slices.Sort(names)
	return names, nil
}

func notFound(err error) error {
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return ErrNotFound
	}
	return err
}
