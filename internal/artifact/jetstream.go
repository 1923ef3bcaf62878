package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/longtake/longtake/internal/job"
)

const (
	// Bytes of a message of an object; NATS allows 1 MiB, of which the subject and headers take
	// some.
	chunkBytes = 512 << 10
	// Messages of an object that may be unacknowledged, so that 2 MiB are under way.
	inFlight = 4
	ackTime  = 10 * time.Second // within which one has to be acknowledged

	mendPause = 50 * time.Millisecond // between looks for a chunk that is said to be there

	codeNotStored   = 10077 // JetStream's code for a limit of the stream, which its text names
	codeNoResources = 10023 // and for a limit of the server
)

// Options say how a bucket keeps its objects. They are the cluster's, not a node's: the
// coordinators set them whenever one of them opens the bucket.
type Options struct {
	// Replicas is the number of copies, each on a server of its own; 0 is 1.
	Replicas int
	// BytesMax bounds all objects together; 0: as much as JetStream has.
	BytesMax int64
	// Once has the bucket refuse bytes for an object that is there, whoever sends them. Put then
	// compares, and replaces only chunks that are damaged.
	Once bool
}

// bucket is a Store on a JetStream stream. Chunk i of an object is the only message with subject
// BUCKET.NAME.i, and an object exists once all its chunks do. The object stores of nats.go are made
// for names that are used again: they leave a marker behind for each deleted object and take three
// times the requests. With a checkpoint at every step, both add up.
type bucket struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	name   string
	once   bool // see Options
	sums   sums
}

// Open opens a bucket, and creates it if there is none yet. The options apply to one that exists,
// too. Coordinators open the bucket; nodes bind it. Discarding new messages, and not old ones, is
// what turns a full bucket into ErrFull instead of losing objects.
func Open(ctx context.Context, nc *nats.Conn, name string, o Options) (Store, error) {
	b, err := open(nc, name, func(js jetstream.JetStream) (jetstream.Stream, error) {
		return js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: name,
			Description: "latents and videos of longtake", Subjects: []string{name + ".>"},
			Storage: jetstream.FileStorage, Replicas: max(o.Replicas, 1), MaxBytes: bytesMax(o),
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: o.Once,
			AllowDirect: true})
	})
	if err != nil {
		return nil, err
	}
	b.once = o.Once
	return b, nil
}

// bytesMax is JetStream's limit on a bucket's bytes, which is -1 for none.
func bytesMax(o Options) int64 {
	if o.BytesMax <= 0 {
		return -1
	}
	return o.BytesMax
}

// Bind opens a bucket that exists, and leaves its options as they are. It fails with
// jetstream.ErrStreamNotFound until a coordinator has opened the bucket once.
func Bind(ctx context.Context, nc *nats.Conn, name string) (Store, error) {
	b, err := open(nc, name, func(js jetstream.JetStream) (jetstream.Stream, error) {
		return js.Stream(ctx, name)
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// open opens the bucket whose stream find returns.
func open(nc *nats.Conn, name string,
	find func(jetstream.JetStream) (jetstream.Stream, error)) (*bucket, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(ackTime),
		jetstream.WithDefaultTimeout(ackTime))
	b := &bucket{js: js, name: name}
	if err == nil {
		b.stream, err = find(js)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the object store %s: %w", name, err)
	}
	return b, nil
}

// subject returns the subject of a chunk of the object of a name; chunk is a number, or a wildcard
// for all of them. A name that no object can have could reach other objects, and is refused.
func (b *bucket) subject(name string, chunk any) (string, error) {
	if o := Named(name); o.Check() != nil || o.SHA256 == name {
		return "", fmt.Errorf("%.80q: %w", name, ErrNotFound)
	}
	return fmt.Sprintf("%s.%s.%v", b.name, name, chunk), nil
}

// chunks returns the number of chunks of an object; one without bytes has an empty chunk.
func chunks(o job.Object) int { return int(max(1, (o.Size+chunkBytes-1)/chunkBytes)) }

// Put implements Store. It sends all chunks even if the object exists, which repairs damaged ones.
func (b *bucket) Put(ctx context.Context, r io.ReadSeeker) (job.Object, error) {
	o, err := Describe(ctx, r)
	if err != nil {
		return job.Object{}, fmt.Errorf("cannot read what is to be stored: %w", err)
	}
	if err := b.put(ctx, o, contextReader{ctx, r}); err != nil {
		return job.Object{}, fmt.Errorf("cannot store %s of %d bytes: %w", o.Name, o.Size, err)
	}
	return o, nil
}

// sent is a chunk on its way.
type sent struct {
	subject string
	data    []byte
	ack     jetstream.PubAckFuture
}

// put sends an object's chunks, a few at a time, and waits until all are acknowledged. A few at
// once hide the round trip to a replicated stream; all at once would need the memory of the whole
// clip. An object that fails halfway stays in part, without harm: no record names it, and storing
// it again completes it.
func (b *bucket) put(ctx context.Context, o job.Object, r io.Reader) error {
	var under []sent
	for i := range chunks(o) {
		subject, err := b.subject(o.Name, i)
		if err != nil {
			return err
		}
		data := make([]byte, chunkSize(o, i))
		if _, err := io.ReadFull(r, data); err != nil {
			return err
		}

		// The oldest has to be acknowledged before the next one leaves.
		if len(under) == inFlight {
			if err := b.await(ctx, under[0]); err != nil {
				return err
			}
			under = under[1:]
		}

		ack, err := b.js.PublishAsync(subject, data)
		if err != nil {
			return err
		}
		under = append(under, sent{subject, data, ack})
	}

	// The object is there once the last chunk is.
	for _, s := range under {
		if err := b.await(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// await waits until a chunk is acknowledged, or found to be there.
func (b *bucket) await(ctx context.Context, s sent) error {
	select {
	case <-s.ack.Ok():
		return nil
	case err := <-s.ack.Err():
		if b.once && isThere(err) {
			return b.mend(ctx, s)
		}
		return refusal(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mend looks at the chunk that is there already, and puts the right one in its place if it is
// another. A replica that lags may not have it yet.
func (b *bucket) mend(ctx context.Context, s sent) error {
	for {
		m, err := b.stream.GetLastMsgForSubject(ctx, s.subject)
		switch {
		case err == nil && bytes.Equal(m.Data, s.data):
			return nil
		case err == nil:
			err = b.stream.Purge(ctx, jetstream.WithPurgeSubject(s.subject))
		case errors.Is(err, jetstream.ErrMsgNotFound):
			err = nil
		}

		// Where there was nothing, or there is nothing any more, this succeeds; else it is said once more
		// that there is a chunk.
		if err == nil {
			_, err = b.js.Publish(ctx, s.subject, s.data)
		}
		if !isThere(err) {
			return refusal(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(mendPause):
		}
	}
}

// isThere reports whether JetStream has refused a chunk because it has one of that name.
func isThere(err error) bool {
	var e *jetstream.APIError
	return errors.As(err, &e) && e.ErrorCode == codeNotStored &&
		strings.Contains(e.Description, "per subject")
}

// refusal turns JetStream's answer into ErrFull if the bucket or the server is full. Callers treat
// ErrFull as a condition that passes once something is deleted; any other refusal is an error.
func refusal(err error) error {
	var e *jetstream.APIError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.ErrorCode == codeNotStored && strings.Contains(e.Description, "maximum bytes"),
		e.ErrorCode == codeNoResources:
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// Get implements Store.
func (b *bucket) Get(ctx context.Context, o job.Object) (io.ReadCloser, error) {
	r := &reader{ctx: ctx, b: b, o: o}
	if err := r.fetch(); err != nil {
		return nil, err
	}
	return verify(io.NopCloser(r), o), nil
}

// reader reads an object's chunks one after the other, without checking them. verify, which wraps
// it, does the checking.
type reader struct {
	ctx   context.Context
	b     *bucket
	o     job.Object
	next  int    // number of the next chunk
	chunk []byte // what is left of the one before
}

// fetch gets the next chunk. Get calls it once, so that an object that does not exist is noticed
// when it is opened.
func (r *reader) fetch() (err error) {
	if r.chunk, err = r.b.chunk(r.ctx, r.o, r.next); err == nil {
		r.next++
	}
	return err
}

// chunk reads chunk i of an object.
func (b *bucket) chunk(ctx context.Context, o job.Object, i int) (data []byte, err error) {
	subject, err := b.subject(o.Name, i)
	if err == nil {
		var m *jetstream.RawStreamMsg
		if m, err = b.stream.GetLastMsgForSubject(ctx, subject); err == nil {
			return m.Data, nil
		}
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = ErrNotFound
	}
	return nil, fmt.Errorf("cannot read %.80s, chunk %d of %d: %w", o.Name, i, chunks(o), err)
}

// Open implements Store.
func (b *bucket) Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error) {
	return b.sums.open(ctx, o, b.chunk)
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 {
		if r.next == chunks(r.o) {
			return 0, io.EOF
		}
		if err := r.fetch(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// Delete implements Store. It purges all chunks with one request.
func (b *bucket) Delete(ctx context.Context, o job.Object) error {
	subject, err := b.subject(o.Name, "*")
	if err == nil {
		err = b.stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		return fmt.Errorf("cannot delete %.80s: %w", o.Name, err)
	}
	return nil
}

// List implements Store. It lists objects by their first chunks, so one that is stored in part may
// be among them.
func (b *bucket) List(ctx context.Context) ([]string, error) {
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(b.name+".*.0"))
	if err != nil {
		return nil, fmt.Errorf("cannot list the objects: %w", err)
	}
	var names []string
	for subject := range info.State.Subjects {
		names = append(names, strings.Split(subject, ".")[1])
	}
	slices.Sort(names)
	return names, nil
}

// has reports whether an object is stored, by its first chunk, of which it reads nothing.
func (b *bucket) has(ctx context.Context, name string) (bool, error) {
	subject, err := b.subject(name, 0)
	if err != nil {
		return false, err
	}
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return false, fmt.Errorf("cannot look for %.80s: %w", name, err)
	}
	return len(info.State.Subjects) > 0, nil
}

// Size implements Sizer.
func (b *bucket) Size(ctx context.Context) (int64, error) {
	info, err := b.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot read the size of the object store: %w", err)
	}
	return int64(info.State.Bytes), nil //nolint:gosec // of a disk
}
