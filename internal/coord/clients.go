package coord

import (
	"context"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// Create implements Service. Its entry is committed on the caller's goroutine, so that the
// creations of several clients share a write to the disk and the loop does not wait for it. Where a
// job starts from an object, which must not be deleted meanwhile, the core commits.
func (c *Coordinator) Create(ctx context.Context, r job.Request) (job.Record, error) {
	r = owned(ctx, r)
	if len(r.Inputs) > 0 {
		return do(ctx, c, func(reply func(job.Record, error)) { c.core.Create(r, reply) })
	}

	by := actor(ctx)
	p, err := look(c, func() (p core.Proposal, err error) {
		c.core.As(by, func() { p, err = c.core.ProposeJob(r) })
		return p, err
	})
	if err != nil {
		return job.Record{}, err
	}
	out := c.append(p.Entry)
	if out.err != nil {
		return job.Record{}, c.leadershipError(out.err)
	}
	return p.Job(out.record)
}

// Estimate implements Service. Who asks is told to the core, as rollouts go by the names of keys.
func (c *Coordinator) Estimate(ctx context.Context, r job.Request) (Estimate, error) {
	if err := c.confirmed(); err != nil {
		return Estimate{}, err
	}
	r, by := owned(ctx, r), actor(ctx)
	return doNow(ctx, c, func() (e Estimate, err error) {
		c.core.As(by, func() { e, err = c.core.Estimate(r) })
		return e, err
	})
}

// Retry implements Service.
func (c *Coordinator) Retry(ctx context.Context, id job.ID) (job.Record, error) {
	r := owned(ctx, job.Request{})
	return do(ctx, c, func(reply func(job.Record, error)) {
		if err := c.mine(ctx, id); err != nil {
			reply(job.Record{}, err)
			return
		}
		c.core.Retry(id, r, reply)
	})
}

// Cancel implements Service. The view is that after the order to stop was sent, not after it was
// obeyed.
func (c *Coordinator) Cancel(ctx context.Context, id job.ID) (View, error) {
	err := doErr(ctx, c, func() error {
		if err := c.mine(ctx, id); err != nil {
			return err
		}
		return c.core.Cancel(id)
	})
	if err != nil {
		return View{}, err
	}
	return c.Get(ctx, id)
}

// Delete implements Service.
func (c *Coordinator) Delete(ctx context.Context, id job.ID) error {
	return doErr(ctx, c, func() error {
		if err := c.mine(ctx, id); err != nil {
			return err
		}
		return c.core.Delete(id)
	})
}

// Get implements Service. It asks a majority first: what a leader shows is never older than what
// another one has acknowledged meanwhile.
func (c *Coordinator) Get(ctx context.Context, id job.ID) (View, error) {
	if err := c.confirmed(); err != nil {
		return View{}, err
	}
	return look(c, func() (View, error) {
		if err := c.mine(ctx, id); err != nil {
			return View{}, err
		}
		return c.core.View(id)
	})
}

// List implements Service.
func (c *Coordinator) List(ctx context.Context, o ListOptions) (Page, error) {
	if err := o.Check(); err != nil {
		return Page{}, err
	}
	if err := c.confirmed(); err != nil {
		return Page{}, err
	}
	if p, ok := access.From(ctx); ok && !p.Admin() {
		o.Visible = p.Owns
	}
	return look(c, func() (Page, error) { return c.core.Page(o) })
}

// confirmed returns nil if what is read here from now on is the latest.
func (c *Coordinator) confirmed() error {
	var term uint64 // 0: on a follower
	c.loop.read(func() {
		if c.term != nil {
			term = c.term.number
		}
	})
	if term == 0 || !c.cons.leadsIn(term) {
		return c.notLeader()
	}
	return nil
}

// Watch implements Service. The channel holds one view: a reader that is slow finds the latest.
func (c *Coordinator) Watch(ctx context.Context, id job.ID) (<-chan View, error) {
	return doNow(ctx, c, func() (<-chan View, error) {
		if c.term == nil {
			return nil, ErrNotLeader
		}
		if err := c.mine(ctx, id); err != nil {
			return nil, err
		}
		w, err := c.hub.add(id)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { c.loop.post(func() { c.hub.remove(id, w) }) })
		return w.ch, nil
	})
}

// Preview implements Service.
func (c *Coordinator) Preview(ctx context.Context, id job.ID) (Preview, error) {
	return look(c, func() (Preview, error) {
		if err := c.mine(ctx, id); err != nil {
			return Preview{}, err
		}
		return c.core.Preview(id)
	})
}

// Nodes implements Service.
func (c *Coordinator) Nodes(context.Context) ([]Node, error) {
	return look(c, c.core.Nodes)
}

// DrainNode implements Service. It returns once the drain is committed, not once the node is idle.
func (c *Coordinator) DrainNode(ctx context.Context, name string, within time.Duration,
) (Node, error) {
	return doNow(ctx, c, func() (Node, error) { return c.core.DrainNode(name, within) })
}

// UndrainNode implements Service.
func (c *Coordinator) UndrainNode(ctx context.Context, name string) (Node, error) {
	return doNow(ctx, c, func() (Node, error) { return c.core.UndrainNode(name) })
}
