package artifact

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// What a node may do follows from the jobs that it works on, so it changes with every attempt. A
// desk asks for it when it matters: before a node reads, begins to store, and has stored.

// may looks whether a node has a right, which ok finds in its grant. What is fresh was looked up
// just now, not a moment ago.
func (d *Desk) may(ctx context.Context, n *deskNode, fresh bool, ok func(Grant) bool,
) (bool, error) {
	n.looking.Lock()
	defer n.looking.Unlock()

	// Of many chunks in a row the first one pays for the look.
	age := time.Since(n.at)
	if age < grantTime && (!fresh || age < d.pause) && ok(n.grant) {
		return true, nil
	}

	// A node that asks for what it must not have makes the coordinator look no more often.
	if age < d.pause {
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("%w: %w", errBusy, ctx.Err())
		case <-time.After(d.pause - age):
		}
	}

	g, err := d.o.Grant(n.identity)

	// Not known is not the same as not allowed: the node asks again, perhaps another coordinator.
	if err != nil {
		return false, fmt.Errorf("%w: %w", errBusy, err)
	}
	n.grant, n.at = g, time.Now()
	return ok(g), nil
}

// mayStore returns an error unless the node may store what a put describes, and the jobs for which
// it does.
func (d *Desk) mayStore(ctx context.Context, n *deskNode, q request, op string,
) (jobs []job.ID, err error) {
	if q.Key != "" {
		_, err := d.boundKey(ctx, n, op, q)
		return nil, err
	}
	ok, err := d.may(ctx, n, op == OpEnd, func(g Grant) bool {
		jobs = g.Jobs
		return len(jobs) > 0
	})
	if err == nil && !ok {
		err = fmt.Errorf("%w: the node works on no live attempt", ErrRefused)
	}
	return jobs, err
}

// mayKeep returns an error if a node has stored too much already to which no job refers. An honest
// one has its objects recorded, one after the other.
func (d *Desk) mayKeep(ctx context.Context, n *deskNode, q request) error {
	if q.Key != "" {
		return nil // the cache makes room by itself
	}
	n.looking.Lock()
	most := n.grant.BytesMax
	n.looking.Unlock()

	// The object at hand counts, too: a single one is no larger than all that the jobs may take.
	over := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		bytes := q.Object.Size
		for _, size := range n.kept {
			bytes += size
		}
		return bytes > most || len(n.kept) >= nodeObjects
	}
	if !over() {
		return nil
	}

	// Some may have been recorded meanwhile. Whether they were takes a look at all jobs.
	d.mu.Lock()
	names, due := slices.Collect(maps.Keys(n.kept)), time.Since(n.looked) >= keptPauses*d.pause
	if due {
		n.looked = time.Now()
	}
	d.mu.Unlock()
	if due && len(names) > 0 {
		unknown := d.present(ctx, d.o.Unknown(names))
		d.mu.Lock()
		for _, name := range names {
			if !slices.Contains(unknown, name) {
				delete(n.kept, name)
			}
		}
		d.mu.Unlock()
	}

	if over() {
		return fmt.Errorf("%w: of the node's objects to which no job refers", ErrFull)
	}
	return nil
}

// present returns those names whose objects are in the store still. A checkpoint that a newer one
// has replaced is deleted, and no job refers to it: it must not count for ever as one that nobody
// recorded, or a node with many short steps could store nothing more. Where the store does not say,
// an object counts as there.
func (d *Desk) present(ctx context.Context, names []string) (out []string) {
	d.mu.Lock()
	store := d.store
	d.mu.Unlock()
	for _, name := range names {
		if there, err := store.has(ctx, name); there || err != nil {
			out = append(out, name)
		}
	}
	return out
}

// note takes down that a node has stored an object; the caller holds the desk's lock.
func (d *Desk) note(n *deskNode, o job.Object, jobs []job.ID) {
	n.kept[o.Name] = o.Size
	s := d.stored[o.Name]
	if s == nil {
		s = &stored{o: o, by: map[*deskNode][]job.ID{}}
		d.stored[o.Name] = s
	}
	if s.by[n] == nil {
		n.recent = append(n.recent, o.Name)
	}
	s.by[n] = jobs
	if len(n.recent) <= nodeRecent {
		return
	}

	// The node has had time to report the first ones.
	oldest := n.recent[0]
	n.recent = n.recent[1:]
	delete(d.stored[oldest].by, n)
	if len(d.stored[oldest].by) == 0 {
		delete(d.stored, oldest)
	}
}

// Stored reports whether a node has stored the object of a name here, of late: it had its bytes.
func (d *Desk) Stored(identity, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stored[name]
	return s != nil && s.by[d.nodes[identity]] != nil
}

// shares reports whether a node has stored an object of late for one of some jobs.
func (d *Desk) shares(o job.Object, jobs []job.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stored[o.Name]
	if s == nil || s.o != o {
		return false
	}
	for _, of := range s.by {
		for _, id := range of {
			if slices.Contains(jobs, id) {
				return true
			}
		}
	}
	return false
}

// boundKey returns the name of a value in the cache. It is made of the owner of the node's job and
// of a text of that job: whatever key a node names, it reaches no value of other texts or owners.
func (d *Desk) boundKey(ctx context.Context, n *deskNode, op string, q request) (string, error) {
	var owner string
	ok, err := d.may(ctx, n, op == OpEnd, func(g Grant) (ok bool) {
		owner, ok = g.Texts[q.Text]
		return ok
	})
	if err != nil {
		return "", err
	}

	if !ok {
		err := fmt.Errorf("the text is none of its jobs: %w", ErrNotFound)
		d.o.Refused(n.identity, op, err)
		return "", err
	}
	return TextSum(fmt.Sprintf("%q %s %s", owner, q.Text, q.Key)), nil
}
