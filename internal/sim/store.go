package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// store is an artifact.Store that is away now and then, and in which checkpoints decay. What it has
// acknowledged is durable: losing all replicas of an object is beyond what the project promises.
type store struct {
	w       *world
	objects map[string]stored // by name
	order   []string          // names in the order of their first Put, for rot
}

// stored is an object, and whether its bytes are not those that were stored any more.
type stored struct {
	data   []byte
	rotten bool
}

var errAway = errors.New("the store is away")

// Put implements artifact.Store. Objects are named by their content, so storing one twice gives the
// same object, and repairs one that had decayed.
func (s *store) Put(_ context.Context, r io.ReadSeeker) (job.Object, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return job.Object{}, err
	}
	if s.w.chance(0.02) {
		return job.Object{}, errAway
	}
	sum := sha256.Sum256(data)
	o := job.Object{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}
	o.Name = "sha256-" + o.SHA256
	if _, ok := s.objects[o.Name]; !ok {
		s.order = append(s.order, o.Name)
	}
	s.objects[o.Name] = stored{data: data}
	return o, nil
}

// Get implements artifact.Store. A decayed object is known as such by its checksum, not returned.
func (s *store) Get(_ context.Context, o job.Object) (io.ReadCloser, error) {
	x, ok := s.objects[o.Name]
	switch {
	case !ok:
		return nil, artifact.ErrNotFound
	case s.w.chance(0.01):
		return nil, errAway
	case x.rotten:
		return nil, artifact.ErrDamaged
	}
	return io.NopCloser(bytes.NewReader(x.data)), nil
}

// Open implements artifact.Store.
func (s *store) Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error) {
	if _, err := s.Get(ctx, o); err != nil {
		return nil, err
	}
	return seekable{bytes.NewReader(s.objects[o.Name].data)}, nil
}

type seekable struct{ *bytes.Reader }

// Close implements io.Closer.
func (seekable) Close() error { return nil }

// Delete implements artifact.Store.
func (s *store) Delete(_ context.Context, o job.Object) error {
	delete(s.objects, o.Name)
	return nil
}

// List implements artifact.Store.
func (s *store) List(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(s.objects)), nil
}

// good reports whether an object can be read, for checkers; it is never away for them.
func (s *store) good(o job.Object) bool {
	x, ok := s.objects[o.Name]
	return ok && !x.rotten
}

// rot spoils the checkpoint that was stored last, which is the one that a lost job would resume
// from. Results do not decay here: nothing could bring them back.
func (s *store) rot() {
	for _, name := range slices.Backward(s.order) {
		x, ok := s.objects[name]
		if ok && bytes.HasPrefix(x.data, []byte("ckpt ")) {
			s.w.log("%.12s rots: %s", name, x.data)
			s.w.stats.Damaged++
			x.rotten = true
			s.objects[name] = x
			return
		}
	}
}
