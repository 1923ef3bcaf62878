package core

import (
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// Preview is a rough animation of a running job's clip.
type Preview struct {
	Step int    // denoising steps done
	Data []byte // animated WebP
}

// previewsKept is how many ended jobs keep their last preview, of up to wire.PreviewLimit bytes.
const previewsKept = 64

// onPreview keeps the latest preview of a live attempt, in memory only. It stays for some time
// after the job's end, and is lost with the leader until the next one comes.
func (l *leader) onPreview(m wire.Preview) wire.Ack {
	if _, live := l.live(m.Node, wire.Work{Job: m.Job, Attempt: m.Attempt}); !live {
		return l.refuse(m.Job, m.Attempt)
	}
	l.previews[m.Job] = Preview{Step: m.Step, Data: m.Data}
	l.c.observer.JobChanged(m.Job)
	return wire.Ack{OK: true}
}

// Preview returns the latest preview of a job: ErrNotLeader, or ErrNotFound if there is none.
func (c *Core) Preview(id job.ID) (Preview, error) {
	l, err := c.leader()
	if err != nil {
		return Preview{}, err
	}
	r, ok := c.machine.Record(id)
	p := l.previews[id]

	switch {
	case !ok:
		return Preview{}, fmt.Errorf("job %.64s: %w", id, ErrNotFound)
	case p.Data == nil && r.State.Final():
		return Preview{}, fmt.Errorf("job %s is %s, and its last preview is not kept any more: %w", id,
			r.State, ErrNotFound)
	case p.Data == nil:
		return Preview{}, fmt.Errorf("job %s has no preview yet; the first one comes with its first "+
			"checkpoint: %w", id, ErrNotFound)
	}
	return p, nil
}

// forgetPreviews bounds the memory that previews take: it keeps the previews of jobs that are not
// final, and of those that ended last.
func (l *leader) forgetPreviews() {
	var ended []job.Record
	for id := range l.previews {
		switch r, ok := l.c.machine.Record(id); {
		case !ok:
			delete(l.previews, id)
		case r.State.Final():
			ended = append(ended, r)
		}
	}
	if len(ended) <= previewsKept {
		return
	}

	slices.SortFunc(ended, func(a, b job.Record) int { return b.Finished.Compare(a.Finished) })
	for _, r := range ended[previewsKept:] {
		delete(l.previews, r.ID)
	}
}
