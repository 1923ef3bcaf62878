package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/job"
)

// sumsMax bounds how many objects' sums are remembered. They take 64 bytes for each MiB. A clip of
// 1 GiB costs 64 KiB, so 256 of such clips take 16 MiB.
const sumsMax = 256

// chunked reads chunk i of an object. The caller must not change the bytes.
type chunked func(ctx context.Context, o job.Object, i int) ([]byte, error)

// sums remembers the SHA-256 of each chunk of objects that were read whole and found intact, so
// that a part of one can be read and checked without the rest. HTTP clients that jump within a
// video would otherwise have all of it read for each jump. The zero value is ready to use.
type sums struct {
	mu    sync.Mutex
	of    map[job.Object][][sha256.Size]byte // by chunk
	order []job.Object                       // keys of of, oldest first
}

// open checks an object, unless that has been done before, and returns a reader of any part of it.
func (s *sums) open(ctx context.Context, o job.Object, read chunked) (io.ReadSeekCloser, error) {
	known := s.get(o)
	if known == nil {
		var err error
		if known, err = check(ctx, o, read); err != nil {
			return nil, err
		}
		s.put(o, known)
	}

	r := &seeker{ctx: ctx, o: o, read: read, sums: known, at: -1,
		bad: func() { s.drop(o) }}
	return r, r.load(0) // the object may have been deleted since it was checked
}

// check reads an object whole, chunk by chunk, and returns the sums of its chunks.
func check(ctx context.Context, o job.Object, read chunked) ([][sha256.Size]byte, error) {
	whole := sha256.New()
	var out [][sha256.Size]byte
	for i := range chunks(o) {
		data, err := read(ctx, o, i)
		if err != nil {
			return nil, err
		}

		if want := chunkSize(o, i); int64(len(data)) != want {
			return nil, fmt.Errorf("%w: chunk %d of %.80s has %d bytes, not %d", ErrDamaged, i, o.Name,
				len(data), want)
		}
		whole.Write(data)
		out = append(out, sha256.Sum256(data))
	}

	if sum := hex.EncodeToString(whole.Sum(nil)); sum != o.SHA256 {
		return nil, fmt.Errorf("%w: %.80s has SHA-256 %.12s...", ErrDamaged, o.Name, sum)
	}
	return out, nil
}

// chunkSize returns the bytes of an object's chunk.
func chunkSize(o job.Object, i int) int64 {
	return min(chunkBytes, o.Size-int64(i)*chunkBytes)
}

// get returns the sums of an object's chunks, nil if they are not known.
func (s *sums) get(o job.Object) [][sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[o]
}

// put remembers the sums of an object's chunks, in place of the oldest if there are too many.
func (s *sums) put(o job.Object, known [][sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[job.Object][][sha256.Size]byte{}
	}
	if s.of[o] == nil {
		s.order = append(s.order, o)
	}
	s.of[o] = known
	if len(s.order) > sumsMax {
		delete(s.of, s.order[0])
		s.order = s.order[1:]
	}
}

// drop forgets an object, so that it is checked again when it is next opened.
func (s *sums) drop(o job.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.order, o); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
	delete(s.of, o)
}

// seeker reads an object from any offset, and checks each chunk before it returns a byte of it. It
// is for one goroutine, such as that of an HTTP request, and holds one chunk at a time.
type seeker struct {
	ctx   context.Context
	o     job.Object
	read  chunked
	sums  [][sha256.Size]byte // by chunk
	bad   func()              // called when a chunk is damaged or gone
	pos   int64               // offset of the next byte
	at    int                 // number of the chunk in memory; -1: none
	chunk []byte
}

// load brings a chunk into memory, in place of the one before. Damage makes the store forget what
// it knew, so that the next open reads the whole object again.
func (r *seeker) load(i int) error {
	if r.at == i {
		return nil
	}
	data, err := r.read(r.ctx, r.o, i)
	if err == nil && sha256.Sum256(data) != r.sums[i] {
		err = fmt.Errorf("%w: chunk %d of %.80s has changed", ErrDamaged, i, r.o.Name)
	}

	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) {
		r.bad()
	}
	if err != nil {
		return err
	}
	r.at, r.chunk = i, data
	return nil
}

// Read implements io.Reader.
func (r *seeker) Read(p []byte) (int, error) {
	if r.pos >= r.o.Size {
		return 0, io.EOF
	}
	i := int(r.pos / chunkBytes)
	if err := r.load(i); err != nil {
		return 0, err
	}
	n := copy(p, r.chunk[r.pos-int64(i)*chunkBytes:])
	r.pos += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (r *seeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.o.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("cannot seek to %d in %.80s", offset, r.o.Name)
	}
	r.pos = offset
	return offset, nil
}

// Close implements io.Closer.
func (r *seeker) Close() error { return nil }
