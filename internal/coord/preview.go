package coord

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/coord/wire"
	"github.com/longtake/longtake/internal/job"
)

// Preview is a rough animation of a running job's clip.
type Preview struct {
	Step int    // denoising steps done
	Data []byte // animated WebP
}

// onPreview keeps the latest preview of a live attempt, in memory only: it is lost with the
// leader, until the next one comes, and with the job's end.
func (l *leader) onPreview(m wire.Preview) wire.Ack {
	if _, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt}); !live {
		return l.refuse(m.Job, m.Attempt)
	}
	l.mu.Lock()
	l.previews[m.Job] = Preview{Step: m.Step, Data: m.Data}
	l.mu.Unlock()
	l.c.hub.notify(m.Job)
	return wire.Ack{OK: true}
}

// Preview implements Service.
func (c *Coordinator) Preview(_ context.Context, id job.ID) (Preview, error) {
	l, err := c.leader()
	if err != nil {
		return Preview{}, err
	}
	r, ok := c.fsm.get(id)
	l.mu.Lock()
	p := l.previews[id]
	l.mu.Unlock()
	switch {
	case !ok:
		return Preview{}, fmt.Errorf("job %.64s: %w", id, ErrNotFound)
	case r.State.Final():
		return Preview{}, fmt.Errorf("job %s is %s, and has a preview only while it runs: %w", id,
			r.State, ErrNotFound)
	case p.Data == nil:
		return Preview{}, fmt.Errorf("job %s has no preview yet; the first one comes with its first "+
			"checkpoint: %w", id, ErrNotFound)
	}
	return p, nil
}
