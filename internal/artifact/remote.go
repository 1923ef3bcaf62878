package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
)

const (
	askTime    = 5 * time.Second        // for an answer
	askPause   = 100 * time.Millisecond // before a request is repeated
	uploadsTry = 3                      // times that an object is sent, if the leader changes
)

// Remote is the object store as a node sees it that has no rights in JetStream: it asks the
// coordinators, which decide what it may read and write. Its methods may be called from several
// goroutines.
type Remote struct {
	nc      *nats.Conn
	subject func(op string) string
	sums    sums
}

var _ Store = (*Remote)(nil)

// NewRemote returns the store behind a connection. subject names where an operation is asked.
func NewRemote(nc *nats.Conn, subject func(op string) string) *Remote {
	return &Remote{nc: nc, subject: subject}
}

// ask sends a request until it is answered, for as long as a chunk may take to be acknowledged. The
// error is that of the answer; those of the way there pass by themselves: while no coordinator
// leads nobody answers, and a desk that has too much to do says so. Longer than that the callers
// wait, who know what the object is worth.
func (r *Remote) ask(ctx context.Context, op string, q request, data []byte,
) (a answer, out []byte, err error) {
	for start := time.Now(); ; {
		if a, out, err = r.askOnce(ctx, op, q, data); err == nil && a.Status != statusBusy {
			return a, out, a.err()
		}

		// No coordinator leads, or the leader is busy: both pass.
		if err == nil {
			err = a.err()
		}
		if ctx.Err() != nil || time.Since(start) > ackTime {
			return a, nil, errors.Join(ctx.Err(), err)
		}
		select {
		case <-ctx.Done():
			return a, nil, ctx.Err()
		case <-time.After(askPause):
		}
	}
}

// askOnce sends a request once.
func (r *Remote) askOnce(ctx context.Context, op string, q request, data []byte,
) (a answer, out []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	m := pack(headerRequest, q, data)
	m.Subject = r.subject(op)
	reply, err := r.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return a, nil, fmt.Errorf("no coordinator answers: %w", err)
	}
	if a, err = unpack[answer](headerAnswer, reply); err != nil {
		return a, nil, fmt.Errorf("cannot read an answer: %w", err)
	}
	return a, reply.Data, nil
}

// Put implements Store. What another coordinator has begun to take is sent again from its start.
func (r *Remote) Put(ctx context.Context, src io.ReadSeeker) (job.Object, error) {
	o, err := Describe(ctx, src)
	if err != nil {
		return job.Object{}, fmt.Errorf("cannot read what is to be stored: %w", err)
	}
	if err := r.put(ctx, request{Object: o}, src); err != nil {
		return job.Object{}, fmt.Errorf("cannot store %s of %d bytes: %w", o.Name, o.Size, err)
	}
	return o, nil
}

// put uploads what q describes. An upload lives in the memory of one coordinator: where another one
// leads in the middle, nobody knows it, and it begins again.
func (r *Remote) put(ctx context.Context, q request, src io.ReadSeeker) (err error) {
	for range uploadsTry {
		if _, err = src.Seek(0, io.SeekStart); err != nil {
			return err
		}
		err = r.upload(ctx, q, contextReader{ctx, src})
		if !errors.Is(err, errUnknownUpload) {
			return err
		}
	}
	return err
}

// upload sends the chunks of what q describes, and waits until it is stored: the end is asked again
// and again, and each answer takes a few seconds at most.
func (r *Remote) upload(ctx context.Context, q request, src io.Reader) error {
	a, _, err := r.ask(ctx, OpPut, q, nil)
	if err != nil {
		return err
	}
	if err := r.sendChunks(ctx, a.Upload, q.Object, src); err != nil {
		return err
	}
	for {
		a, _, err := r.ask(ctx, OpEnd, request{Upload: a.Upload}, nil)
		if err != nil || a.Status == statusOK {
			return err
		}
	}
}

// sendChunks sends an upload's chunks, a few at a time, as bucket.put does. The first error ends
// it.
func (r *Remote) sendChunks(ctx context.Context, upload string, o job.Object, src io.Reader) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	window := make(chan struct{}, inFlight)

	for i := range chunks(o) {
		data := make([]byte, chunkSize(o, i))
		if _, err := io.ReadFull(src, data); err != nil {
			return err
		}

		// One of those that are on their way has to be answered before the next one leaves.
		select {
		case window <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		wg.Go(func() {
			defer func() { <-window }()
			if _, _, err := r.ask(ctx, OpChunk, request{Upload: upload, Chunk: i}, data); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// chunk reads chunk i of an object. What it gets is not checked yet: each of the readers below does
// that, by the object's SHA-256, since a coordinator's disk or the way from there may change bytes.
func (r *Remote) chunk(ctx context.Context, o job.Object, i int) ([]byte, error) {
	_, data, err := r.ask(ctx, OpGet, request{Object: o, Chunk: i}, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read %.80s, chunk %d of %d: %w", o.Name, i, chunks(o), err)
	}
	return data, nil
}

// Get implements Store.
func (r *Remote) Get(ctx context.Context, o job.Object) (io.ReadCloser, error) {
	a := newAhead(ctx, chunks(o), func(ctx context.Context, i int) ([]byte, error) {
		return r.chunk(ctx, o, i)
	})
	if err := a.fetch(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return verify(a, o), nil
}

// Open implements Store.
func (r *Remote) Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error) {
	return r.sums.open(ctx, o, r.chunk)
}

// Delete implements Store: nodes delete nothing.
func (r *Remote) Delete(context.Context, job.Object) error {
	return fmt.Errorf("cannot delete an object: %w", ErrRefused)
}

// List implements Store: nodes see only what they have the name of.
func (r *Remote) List(context.Context) ([]string, error) {
	return nil, fmt.Errorf("cannot list the objects: %w", ErrRefused)
}

// remoteCache is a Remote's cache of what belongs to one text.
type remoteCache struct {
	r    *Remote
	text string // its SHA-256
}

// Cache returns the coordinators' cache of what is made of a text. A node reaches what belongs to
// the texts of the jobs that it works on, and to their owners, and nothing else.
func (r *Remote) Cache(text string) Cache { return remoteCache{r, TextSum(text)} }

// Get implements Cache.
func (c remoteCache) Get(ctx context.Context, key string) ([]byte, error) {
	if !isKey(key) {
		return nil, fmt.Errorf("%.80q: %w", key, ErrNotFound)
	}

	// The first answer says how many chunks there are.
	var value []byte
	var sum string
	for i, n := 0, 1; i < n; i++ {
		a, data, err := c.r.ask(ctx, OpGet, request{Key: key, Text: c.text, Chunk: i}, nil)
		if err != nil {
			return nil, fmt.Errorf("cannot read %.80s: %w", key, err)
		}
		if i == 0 {
			n, sum = a.Chunks, a.SHA256
		}

		// Whatever the first answer has said, no more than this is taken.
		if value = append(value, data...); len(value) > CacheValueMax {
			break
		}
	}
	if got := sha256.Sum256(value); hex.EncodeToString(got[:]) != sum {
		return nil, fmt.Errorf("cannot read %.80s: %w", key, ErrDamaged)
	}
	return value, nil
}

// Put implements Cache.
func (c remoteCache) Put(ctx context.Context, key string, value []byte) error {
	if err := checkValue(key, value); err != nil {
		return err
	}
	src := bytes.NewReader(value)
	o, err := Describe(ctx, src)
	if err == nil {
		err = c.r.put(ctx, request{Object: o, Key: key, Text: c.text}, src)
	}
	if err != nil {
		return fmt.Errorf("cannot keep %.80s: %w", key, err)
	}
	return nil
}
