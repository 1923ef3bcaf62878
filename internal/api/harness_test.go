//lint:file-ignore SA1019 OpenAI retires its own service; its client still speaks the protocol.

package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a coordinator whose jobs do as the test says.
type fake struct {
	fakeKeys

	mu      sync.Mutex
	model   job.Model
	more    job.Models
	jobs    map[job.ID]coord.View
	order   []job.ID
	last    job.Request
	objects map[string]string
	err     error // of every call
	refuse  func(job.Spec) error
	watch   chan coord.View

	snapshot string
	preview  []byte
	status   *coord.Status // nil: of a leader with a shard
	audit    auditFake
	rules    map[string]rollout.Rule
}

func newFake() *fake {
	return &fake{jobs: map[job.ID]coord.View{}, objects: map[string]string{}, model: job.Model{
		Name: "demo", Fingerprint: "f", Heads: 6, HeadDim: 32, Layers: 8, Patch: [3]int{1, 2, 2},
		LatentChannels: 16, TemporalScale: 4, SpatialScale: 8, Defaults: job.Defaults{Width: 96,
			Height: 64, Frames: 33, Steps: 4, FPS: 16, GuidanceScale: 4, FlowShift: 3}}}
}

func (f *fake) Create(_ context.Context, r job.Request) (job.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = r
	if f.err != nil {
		return job.Record{}, f.err
	}
	m, err := f.models().Choose(r.Model)
	if err != nil {
		return job.Record{}, err
	}
	s, err := m.Resolve(r, nil)
	if err == nil && f.refuse != nil {
		err = f.refuse(s)
	}
	if err != nil {
		return job.Record{}, err
	}
	rec := job.Record{ID: job.ID(fmt.Sprintf("video_%d", len(f.order))), Spec: s, State: job.Queued,
		Created: time.Unix(1000, 0)}
	f.jobs[rec.ID] = coord.View{Record: rec}
	f.order = append(f.order, rec.ID)
	return rec, nil
}

func (f *fake) Get(_ context.Context, id job.ID) (coord.View, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.jobs[id]
	if f.err != nil {
		return v, f.err
	}
	if !ok {
		return v, fmt.Errorf("job %s: %w", id, coord.ErrNotFound)
	}
	return v, nil
}

func (f *fake) List(_ context.Context, o coord.ListOptions) (coord.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var p coord.Page
	for i := len(f.order) - 1; i >= 0; i-- {
		if o.After == "" || f.order[i] < o.After {
			p.Jobs = append(p.Jobs, f.jobs[f.order[i]])
		}
	}
	if o.Limit > 0 && len(p.Jobs) > o.Limit {
		p.Jobs, p.More = p.Jobs[:o.Limit], true
	}
	return p, f.err
}

func (f *fake) set(id job.ID, change func(*coord.View)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.jobs[id]
	change(&v)
	f.jobs[id] = v
}

func (f *fake) Cancel(ctx context.Context, id job.ID) (coord.View, error) {
	v, err := f.Get(ctx, id)
	if err == nil && v.State.Final() && v.State != job.Cancelled {
		return v, job.ErrTransition
	}
	if err == nil {
		f.set(id, func(v *coord.View) { v.State = job.Cancelled })
	}
	v.State = job.Cancelled
	return v, err
}

func (f *fake) Delete(ctx context.Context, id job.ID) error {
	v, err := f.Get(ctx, id)
	if err == nil && !v.State.Final() {
		err = job.ErrTransition
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.jobs, id)
	}
	return err
}

func (f *fake) Retry(ctx context.Context, id job.ID) (job.Record, error) {
	v, err := f.Get(ctx, id)
	v.Record.ID += "r"
	return v.Record, err
}

func (f *fake) Watch(ctx context.Context, id job.ID) (<-chan coord.View, error) {
	v, err := f.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if f.watch != nil {
		return f.watch, nil
	}
	ch := make(chan coord.View, 1)
	ch <- v
	close(ch)
	return ch, nil
}

func (f *fake) Open(_ context.Context, o job.Object) (io.ReadSeekCloser, error) {
	s, ok := f.objects[o.Name]
	switch {
	case !ok:
		return nil, coord.ErrNotFound
	case s == "damaged":
		return nil, fmt.Errorf("object %s: %w", o.Name, coord.ErrDamaged)
	}
	return &object{Reader: strings.NewReader(s), size: o.Size}, nil
}

// object is stored bytes, and an error where some are missing.
type object struct {
	*strings.Reader
	size int64
}

func (o *object) Close() error { return nil }

func (o *object) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	if err == io.EOF && o.Size() < o.size {
		err = errors.New("the rest is gone")
	}
	return n, err
}

func (o *object) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return o.size + offset, nil
	}
	return o.Reader.Seek(offset, whence)
}

func (f *fake) StoreInput(_ context.Context, r io.ReadSeeker) (job.Object, error) {
	r.Seek(0, io.SeekStart)
	b, err := io.ReadAll(r)
	sum := sha256.Sum256(b)
	o := job.Object{Name: fmt.Sprintf("sha256-%x", sum), Size: int64(len(b)),
		SHA256: fmt.Sprintf("%x", sum)}
	f.objects[o.Name] = string(b)
	return o, errors.Join(err, f.err)
}

func (f *fake) Preview(_ context.Context, id job.ID) (coord.Preview, error) {
	if f.preview == nil {
		return coord.Preview{}, fmt.Errorf("job %s has no preview yet: %w", id, coord.ErrNotFound)
	}
	return coord.Preview{Step: 5, Data: f.preview}, f.err
}

func (f *fake) Nodes(context.Context) ([]coord.Node, error) {
	return []coord.Node{{ID: "n1", Name: "a"}}, f.err
}

func (f *fake) DrainNode(_ context.Context, name string, within time.Duration) (coord.Node, error) {
	n := coord.Node{ID: "n1", Name: name, State: "draining", Deadline: time.Unix(0, 0).Add(within)}
	return n, f.err
}

func (f *fake) UndrainNode(_ context.Context, name string) (coord.Node, error) {
	return coord.Node{ID: "n1", Name: name, State: "idle"}, f.err
}

func (f *fake) AddMember(_ context.Context, p coord.Peer) (coord.Status, error) {
	return coord.Status{Members: []coord.Member{{ID: p.ID, Raft: p.Raft, HTTP: p.HTTP}}}, f.err
}

func (f *fake) RemoveMember(context.Context, string, bool) (coord.Status, error) {
	return coord.Status{}, f.err
}

func (f *fake) TransferLeader(_ context.Context, to string) (coord.Status, error) {
	return coord.Status{Leader: to}, f.err
}

func (f *fake) SaveSnapshot(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, f.snapshot)
	return errors.Join(err, f.err)
}

func (f *fake) RestoreSnapshot(_ context.Context, r io.Reader) error {
	b, err := io.ReadAll(r)
	f.snapshot = string(b)
	return errors.Join(err, f.err)
}

func (f *fake) Status(context.Context) (coord.Status, error) {
	if f.status != nil {
		return *f.status, nil
	}
	return coord.Status{ID: "c1", State: "Leader", Leader: "c1", Nodes: 1}, nil
}

func (f *fake) models() job.Models {
	if f.model.Fingerprint == "" {
		return nil
	}
	return append(job.Models{f.model}, f.more...)
}

func (f *fake) Model(_ context.Context, name string) (job.Model, error) {
	if len(f.models()) == 0 {
		return job.Model{}, coord.ErrNoModel
	}
	return f.models().Choose(name)
}

func (f *fake) Models(context.Context) (out []coord.ServedModel) {
	for i, m := range f.models() {
		out = append(out, coord.ServedModel{Model: m, Default: i == 0})
	}
	return out
}
func (f *fake) Ready(context.Context) error { return f.err }

// testClient is a client of the API under test, which also sends what no client would: see do.
type testClient struct {
	*client.Client
	base string
	http *http.Client
}

// serve starts the API of f on a real port.
func serve(t *testing.T, f *fake) (url string, c *testClient) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h := New(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody})
	go func() { done <- Serve(ctx, l, h) }()
	hc := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		hc.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	base := "http://" + l.Addr().String()
	inner, err := client.New(base, hc)
	if err != nil {
		t.Fatal(err)
	}
	return base, &testClient{Client: inner, base: base, http: hc}
}

// do sends a request and returns status and body.
func do(t *testing.T, c *testClient, method, path, kind, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	hc := *c.http
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return roundTrip(t, &hc, req)
}

// roundTrip sends a request and reads the whole answer.
func roundTrip(t *testing.T, c *http.Client, req *http.Request) (int, string, http.Header) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}
