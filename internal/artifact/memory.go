package artifact

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/job"
)

// Memory is a Store in memory, for tests. It also finds damage that a test does to its bytes.
type Memory struct {
	mu      sync.Mutex
	objects map[string][]byte // by name
	sums    sums
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{objects: map[string][]byte{}} }

var (
	_ Store = (*Memory)(nil)
	_ Sizer = (*Memory)(nil)
)

// Put implements Store.
func (m *Memory) Put(ctx context.Context, r io.ReadSeeker) (job.Object, error) {
	o, err := Describe(ctx, r)
	if err != nil {
		return job.Object{}, fmt.Errorf("cannot read what is to be stored: %w", err)
	}
	data, err := io.ReadAll(contextReader{ctx, r})
	if err != nil {
		return job.Object{}, fmt.Errorf("cannot store %s: %w", o.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[o.Name] = data
	return o, nil
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, o job.Object) (io.ReadCloser, error) {
	data, err := m.get(o)
	if err != nil {
		return nil, err
	}
	return verify(io.NopCloser(bytes.NewReader(data)), o), nil
}

// get returns the bytes of an object, whatever they are.
func (m *Memory) get(o job.Object) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[o.Name]
	if !ok {
		return nil, fmt.Errorf("cannot read %.80s: %w", o.Name, ErrNotFound)
	}
	return data, nil
}

// Open implements Store.
func (m *Memory) Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error) {
	return m.sums.open(ctx, o, func(_ context.Context, o job.Object, i int) ([]byte, error) {
		data, err := m.get(o)
		if err != nil {
			return nil, err
		}
		// Bytes beyond the object's size make the last chunk too long, which the check finds.
		from := min(i*chunkBytes, len(data))
		if i == chunks(o)-1 {
			return data[from:], nil
		}
		return data[from:min(from+chunkBytes, len(data))], nil
	})
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, o job.Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, o.Name)
	return nil
}

// List implements Store.
func (m *Memory) List(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects)), nil
}

// Size implements Sizer.
func (m *Memory) Size(context.Context) (n int64, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, data := range m.objects {
		n += int64(len(data))
	}
	return n, nil
}
