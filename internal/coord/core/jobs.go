package core

import (
	"cmp"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// Proposal is a command that a client's request leads to and that was not committed yet. Proposals
// may be committed on any goroutine, several at a time, so that they share a write to the disk: the
// machine checks again what may have changed meanwhile, such as the length of the queue.
type Proposal struct {
	// Entry is what has to be committed.
	Entry []byte

	spec  job.Spec
	key   string
	drawn bool // the seed was drawn, and is that of the first request with the key
}

// Job returns the job that committing the proposal gave. The error is ErrKeyReused if the job was
// created by another request with the same key.
func (p Proposal) Job(r job.Record) (job.Record, error) {
	want := p.spec
	if p.drawn {
		want.Seed = r.Spec.Seed
	}
	if !r.Spec.Equal(want) {
		return job.Record{}, fmt.Errorf("cannot create the job: key %.64q: %w", p.key, ErrKeyReused)
	}
	return r, nil
}

// ProposeJob checks a request against the model, the shards that are there and the room on the
// disk, and returns the command that queues it. It returns ErrNotLeader, ErrNoModel, ErrNoSpace or
// a *job.FieldError. A request with something to start from goes through Create instead.
func (c *Core) ProposeJob(r job.Request) (Proposal, error) {
	m, s, err := c.judge(r)
	if err != nil {
		return Proposal{}, err
	}
	a := asker{r.Owner, r.Team, r.Key, r.Quota, "", r.Admin}
	p, err := c.proposeSpec(a, s, c.forecast(m, s))
	p.drawn = r.Seed == nil
	return p, err
}

// judge checks a request as far as its model and the shards go, and returns the model and the spec.
func (c *Core) judge(r job.Request) (m job.Model, s job.Spec, err error) {
	l, err := c.leader()
	if err != nil {
		return m, s, err
	}
	if m, err = c.machine.Model(r.Model); err != nil {
		return m, s, err
	}

	if r.Seed == nil {
		r.Seed = new(c.drawSeed())
	}
	if s, err = m.Resolve(r, meshCheck(m)); err != nil {
		return m, s, err
	}

	// What could never run is refused now, rather than left to wait in the queue for ever.
	if err := l.servable(m, s); err != nil {
		return m, s, err
	}
	if !c.machine.keyed(r.Owner, r.Key) { // a repeat of what was taken before is taken again
		limits := plan.Limits{Tokens: c.cfg.Limits.RequestTokens, Time: c.cfg.Limits.requestTime()}
		err = plan.CheckLimits(m, s, l.offers(m.Name), limits, r.Force)
	}
	return m, s, err
}

// asker is who asks for a job, the key of the request, what the owner may have, and the job that is
// to be made again.
type asker struct {
	owner, team, key string
	quota            access.Quota
	retryOf          job.ID
	admin            bool // may use everything
}

// proposeSpec proposes a new job, if there is room for it, with what it is expected to take.
func (c *Core) proposeSpec(a asker, s job.Spec, e *job.Estimate) (Proposal, error) {
	if !c.machine.keyed(a.owner, a.key) {
		if err := c.rolledOut(a, s); err != nil {
			return Proposal{}, err
		}
		if err := cmp.Or(c.hasRoom(), c.fits(s)); err != nil {
			return Proposal{}, fmt.Errorf("cannot create the job: %w", err)
		}
	}

	// What came with version 9 is left out until all coordinators read it.
	limits := c.cfg.Limits
	create := &creation{Key: a.key, Spec: s, QueuedMax: limits.Queued, KeptMax: limits.Kept}
	cmd := command{Kind: kindCreate, Job: c.newID(), Create: create}
	if c.machine.Version() >= ownersSince {
		create.Owner, create.Team, create.Estimate = a.owner, a.team, e
		cmd.RetryOf = a.retryOf
		if c.cfg.Prompts != PromptsHash {
			cmd.Prompts = c.cfg.Prompts
		}
		// What is over a quota already takes no entry of the log, which somebody could fill with them.
		err := c.under(create, a.quota)
		if err == nil {
			err = c.machine.state.admits(create)
		}
		if err != nil && !c.machine.keyed(a.owner, a.key) {
			return Proposal{}, err
		}
	}
	entry, err := c.entry(cmd)
	return Proposal{Entry: entry, spec: s, key: a.key}, err
}

// Create proposes a job and commits it. done is called, perhaps from within: what a job starts from
// may be in the trash, and no deletion may be under way while it is given to the job. Apart from
// what ProposeJob returns, it gets ErrQueueFull, ErrKeyReused, or ErrNotFound if what the job
// starts from is gone.
func (c *Core) Create(r job.Request, done func(job.Record, error)) {
	c.onceDeleted(func() { done(c.commitProposal(c.ProposeJob(r))) })
}

func (c *Core) commitProposal(p Proposal, err error) (job.Record, error) {
	if err != nil {
		return job.Record{}, err
	}
	r, err := c.world.Append(p.Entry)
	if err != nil {
		return job.Record{}, err
	}
	return p.Job(r)
}

// Retry queues a new job with the spec of a final one for the owner of a request, of which nothing
// else counts, and calls done as Create does.
// It gets ErrNotFound, job.ErrTransition while the job is not final, or a *job.FieldError if the
// cluster's model has changed, or is gone, and cannot do it any more.
func (c *Core) Retry(id job.ID, by job.Request, done func(job.Record, error)) {
	a := asker{owner: by.Owner, team: by.Team, quota: by.Quota, retryOf: id,
		admin: by.Admin}
	c.onceDeleted(func() { done(c.commitProposal(c.proposeRetry(id, a))) })
}

func (c *Core) proposeRetry(id job.ID, a asker) (Proposal, error) {
	if !c.Leads() {
		return Proposal{}, ErrNotLeader
	}
	r, ok := c.machine.Record(id)
	if !ok {
		return Proposal{}, fmt.Errorf("job %.64s: %w", id, ErrNotFound)
	}
	if !r.State.Final() {
		return Proposal{}, fmt.Errorf("cannot retry job %s: it is %s: %w", id, r.State,
			job.ErrTransition)
	}

	m, err := c.machine.Model(r.Spec.Model)
	if err == nil {
		err = m.CheckSpec(r.Spec)
	}
	if err != nil {
		return Proposal{}, err
	}
	return c.proposeSpec(a, r.Spec, c.forecast(m, r.Spec))
}

// servable refuses what no mesh fits, a format that none of the nodes can write, and a type of
// products that none of them has.
func (l *leader) servable(m job.Model, s job.Spec) error {
	if s.Shards > 0 {
		if _, err := plan.Mesh(m, s, s.Shards, 0); err != nil {
			return &job.FieldError{Field: "shards", Value: fmt.Sprint(s.Shards), Allowed: err.Error()}
		}
	}

	// Of the nodes that have the model, of which there may be none yet.
	there, writes, multiplies := false, false, false
	for _, n := range l.nodes {
		if !slices.Contains(n.models, m.Name) {
			continue
		}
		fits := job.HasDType(n.reg.DTypes, s.DType)
		there, multiplies = true, multiplies || fits
		writes = writes || fits && n.writes(s.Format)
	}

	switch {
	case there && !multiplies:
		return &job.FieldError{Field: "dtype", Value: fmt.Sprintf("%q", s.DType),
			Allowed: "fp32, bf16 (a registered shard with fp8 is on a CPU, or on a GPU of Hopper's kind)"}
	case there && !writes:
		return &job.FieldError{Field: "format", Value: fmt.Sprintf("%q", s.Format),
			Allowed: "what a registered shard can write (mp4 needs ffmpeg there)"}
	}
	return nil
}

// Cancel ends a queued job at once, and has a running one stopped: it ends when its ranks have
// stopped. Cancelling a cancelled job does nothing; one that ended otherwise gives
// job.ErrTransition. ErrNotLeader, ErrNotFound.
func (c *Core) Cancel(id job.ID) error {
	l, err := c.leader()
	if err != nil {
		return err
	}

	before, _ := c.machine.Record(id)
	r, err := c.commit(command{Kind: kindCancel, Job: id})
	if err != nil {
		return err
	}

	// A rank that hears it now stops within its step; one that does not hears it with its heartbeat.
	switch {
	case r.State == job.Running:
		l.stopRanks(r.Plan, true, "the job is cancelled")
	case before.State == job.Queued:
		c.observer.JobEnded(r)
	}
	return nil
}

// Delete forgets a final job and has its objects deleted. ErrNotLeader, ErrNotFound, or
// job.ErrTransition if the job is not final yet.
func (c *Core) Delete(id job.ID) error {
	if !c.Leads() {
		return ErrNotLeader
	}
	_, err := c.commit(command{Kind: kindDelete, Job: id})
	return err
}

// RecordMember commits where the API of a coordinator is; without an address, that it is no member
// any more.
func (c *Core) RecordMember(p Peer) error {
	if !c.Leads() {
		return ErrNotLeader
	}
	_, err := c.commit(command{Kind: kindMember, Member: &p})
	return err
}

// newID returns an id whose order is that of time, as ULIDs are made: 48 bits of milliseconds, 80
// random ones, in base 32.
func (c *Core) newID() job.ID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(c.cfg.Now().UnixMilli())<<16)
	c.world.Random(b[6:])
	return job.ID("video_" + idEncoding.EncodeToString(b[:]))
}

var idEncoding = base32.NewEncoding(strings.ToLower("0123456789ABCDEFGHJKMNPQRSTVWXYZ")).
	WithPadding(base32.NoPadding)

// drawSeed returns 32 random bits, which every JSON reader can hold.
func (c *Core) drawSeed() uint64 {
	var b [4]byte
	c.world.Random(b[:])
	return uint64(binary.BigEndian.Uint32(b[:]))
}

// meshCheck judges meshes for requests; the spec is not complete enough for it when its own fields
// are wrong, so Resolve asks last.
func meshCheck(m job.Model) func(job.Spec, job.Mesh) error {
	return func(s job.Spec, mesh job.Mesh) error {
		s.Mesh = mesh
		_, err := plan.Mesh(m, s, mesh.Size(), 0)
		return err
	}
}
