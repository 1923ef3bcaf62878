package coord

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// Create implements Service.
func (c *Coordinator) Create(_ context.Context, r job.Request) (job.Record, error) {
	if _, err := c.leader(); err != nil {
		return job.Record{}, err
	}
	m := c.fsm.model()
	if m.Fingerprint == "" {
		return job.Record{}, ErrNoModel
	}
	drawn := r.Seed == nil
	if drawn {
		seed := c.drawSeed()
		r.Seed = &seed
	}
	s, err := m.Resolve(r, meshCheck(m))
	if err != nil {
		return job.Record{}, err
	}
	if err := c.servable(m, s); err != nil {
		return job.Record{}, err
	}
	if err := c.affordable(m, s, r); err != nil {
		return job.Record{}, err
	}
	rec, err := c.queue(r.Key, s)
	if err != nil {
		return job.Record{}, err
	}
	if drawn {
		s.Seed = rec.Spec.Seed
	}
	if !rec.Spec.Equal(s) {
		return job.Record{}, fmt.Errorf("cannot create the job: key %.64q: %w", r.Key, ErrKeyReused)
	}
	return rec, nil
}

// queue commits a new job. What it starts from is not deleted meanwhile.
func (c *Coordinator) queue(key string, s job.Spec) (job.Record, error) {
	if s.Source != (job.Source{}) {
		c.owners.Lock()
		defer c.owners.Unlock()
	}
	if !c.fsm.keyed(key) {
		if err := cmp.Or(c.roomForMore(), c.fits(s)); err != nil {
			return job.Record{}, fmt.Errorf("cannot create the job: %w", err)
		}
	}
	l := c.cfg.Limits
	return c.commit(command{Kind: kindCreate, Job: c.newID(),
		Create: &creation{Key: key, Spec: s, QueuedMax: l.Queued, KeptMax: l.Kept}})
}

// affordable refuses what would take too much of the shards that are there, but for a repeat of
// what was taken before.
func (c *Coordinator) affordable(m job.Model, s job.Spec, r job.Request) error {
	l, err := c.leader()
	if err != nil || c.fsm.keyed(r.Key) {
		return err
	}
	limits := plan.Limits{Tokens: c.cfg.Limits.RequestTokens, Time: c.cfg.Limits.RequestTime}
	return plan.CheckLimits(m, s, l.offers(), limits, r.Force)
}

// servable refuses what no mesh fits, and a format that none of the nodes can write.
func (c *Coordinator) servable(m job.Model, s job.Spec) error {
	if s.Shards > 0 {
		if _, err := plan.Mesh(m, s, s.Shards); err != nil {
			return &job.FieldError{Field: "shards", Value: fmt.Sprint(s.Shards), Allowed: err.Error()}
		}
	}
	l, err := c.leader()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		if n.writes(s.Format) {
			return nil
		}
	}
	if len(l.nodes) == 0 {
		return nil
	}
	return &job.FieldError{Field: "format", Value: fmt.Sprintf("%q", s.Format),
		Allowed: "what a registered shard can write (mp4 needs ffmpeg there)"}
}

// Get implements Service. It asks a majority first: what a leader shows is never older than what
// another one has acknowledged meanwhile.
func (c *Coordinator) Get(_ context.Context, id job.ID) (View, error) {
	if err := c.reading(); err != nil {
		return View{}, err
	}
	v, ok := c.view(id)
	if !ok {
		return View{}, fmt.Errorf("job %.64s: %w", id, ErrNotFound)
	}
	return v, nil
}

// reading returns nil if what is read here is the latest.
func (c *Coordinator) reading() error {
	if _, err := c.leader(); err != nil {
		return err
	}
	if !c.confirm() {
		return c.notLeader()
	}
	return nil
}

// view puts together what is known about a job.
func (c *Coordinator) view(id job.ID) (View, bool) {
	r, ok := c.fsm.get(id)
	if !ok {
		return View{}, false
	}
	v := View{Record: r, Expires: c.expires(r), Damage: c.harm.of(r)}
	if r.State == job.Queued {
		v.Ahead = c.fsm.ahead(id)
	}
	l := c.lead.Load()
	if l == nil {
		return v, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r.State {
	case job.Running:
		if p := l.progress[id]; p.Attempt == r.Attempt {
			v.Progress = p
		}
		v.PreviewStep = l.previews[id].Step
		v.Decision = cmp.Or(l.asks[id], l.decisions[id])
	case job.Queued:
		v.Waiting = l.waiting[id]
	}
	for _, n := range r.Plan.Nodes {
		v.Nodes = append(v.Nodes, l.name(n))
	}
	return v, true
}

// List implements Service.
func (c *Coordinator) List(_ context.Context, o ListOptions) (Page, error) {
	set(&o.Limit, 20)
	set(&o.Order, "desc")
	switch {
	case o.Limit < 1 || o.Limit > ListLimit:
		return Page{}, &job.FieldError{Field: "limit", Value: fmt.Sprint(o.Limit), Allowed: "1 to 100"}
	case o.Order != "asc" && o.Order != "desc":
		return Page{}, &job.FieldError{Field: "order", Value: fmt.Sprintf("%.32q", o.Order),
			Allowed: "asc, desc"}
	}
	if err := c.reading(); err != nil {
		return Page{}, err
	}
	ids := c.fsm.ids()
	if o.Order == "desc" {
		slices.Reverse(ids)
	}
	if o.After != "" {
		i := slices.Index(ids, o.After)
		if i < 0 {
			return Page{}, fmt.Errorf("job %.64s: %w", o.After, ErrNotFound)
		}
		ids = ids[i+1:]
	}
	p := Page{Jobs: []View{}, More: len(ids) > o.Limit}
	for _, id := range ids[:min(len(ids), o.Limit)] {
		if v, ok := c.view(id); ok {
			p.Jobs = append(p.Jobs, v)
		}
	}
	return p, nil
}

// Cancel implements Service.
func (c *Coordinator) Cancel(ctx context.Context, id job.ID) (View, error) {
	l, err := c.leader()
	if err != nil {
		return View{}, err
	}
	before, _ := c.fsm.get(id)
	r, err := c.commit(command{Kind: kindCancel, Job: id})
	if err != nil {
		return View{}, err
	}
	switch {
	case r.State == job.Running:
		l.stopAll(r.Plan, true, "the job is cancelled")
	case before.State == job.Queued:
		l.ended(r)
	}
	return c.Get(ctx, id)
}

// Delete implements Service.
func (c *Coordinator) Delete(_ context.Context, id job.ID) error {
	if _, err := c.leader(); err != nil {
		return err
	}
	_, err := c.commit(command{Kind: kindDelete, Job: id})
	return err
}

// Retry implements Service.
func (c *Coordinator) Retry(_ context.Context, id job.ID) (job.Record, error) {
	if _, err := c.leader(); err != nil {
		return job.Record{}, err
	}
	r, ok := c.fsm.get(id)
	if !ok {
		return job.Record{}, fmt.Errorf("job %.64s: %w", id, ErrNotFound)
	}
	if !r.State.Final() {
		return job.Record{}, fmt.Errorf("cannot retry job %s: it is %s: %w", id, r.State,
			job.ErrTransition)
	}
	if err := c.fsm.model().CheckSpec(r.Spec); err != nil { // the model was changed
		return job.Record{}, err
	}
	return c.queue("", r.Spec)
}

// Watch implements Service.
func (c *Coordinator) Watch(ctx context.Context, id job.ID) (<-chan View, error) {
	l, err := c.leader()
	if err != nil {
		return nil, err
	}
	ch, ok := c.hub.add(ctx, id)
	if !ok {
		return nil, fmt.Errorf("job %.64s: %w", id, ErrNotFound)
	}
	if c.lead.Load() != l { // the term ended meanwhile: nobody would close the channel
		c.hub.closeAll()
	}
	return ch, nil
}

// newID returns an id whose order is that of time, as ULIDs are made: 48 bits of milliseconds, 80
// random ones, in base 32.
func (c *Coordinator) newID() job.ID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(c.cfg.Now().UnixMilli())<<16)
	c.random(b[6:])
	return job.ID("video_" + idEncoding.EncodeToString(b[:]))
}

var idEncoding = base32.NewEncoding(strings.ToLower("0123456789ABCDEFGHJKMNPQRSTVWXYZ")).
	WithPadding(base32.NoPadding)

func randomBytes(b []byte) { rand.Read(b) } //nolint:errcheck // never fails

// drawSeed returns 32 random bits, which every JSON reader can hold.
func (c *Coordinator) drawSeed() uint64 {
	var b [4]byte
	c.random(b[:])
	return uint64(binary.BigEndian.Uint32(b[:]))
}

// meshCheck judges meshes for requests; the spec is not complete enough for it when its own fields
// are wrong, so Resolve asks last.
func meshCheck(m job.Model) func(job.Spec, job.Mesh) error {
	return func(s job.Spec, mesh job.Mesh) error {
		s.Mesh = mesh
		_, err := plan.Mesh(m, s, mesh.Size())
		return err
	}
}
