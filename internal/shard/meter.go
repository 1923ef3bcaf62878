package shard

import (
	"slices"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/wire"
)

// A rank has its device from the order that the node accepts until the engine returns: while it
// loads a model, computes, waits for other ranks or stores a checkpoint, no other rank can have it.
// That time is what is metered, by the monotonic clock of the node. The time in which a rank's last
// report waits for a leader is not: the rank computes no more, and it is not the client's doing.

// meter is the node's own account of what its ranks have used. Heartbeats carry it: the sum of all,
// and ranks that have ended, until a leader says that it has settled them.
type meter struct {
	mu    sync.Mutex
	total time.Duration // of ranks that have ended
	ended []wire.Ended
}

// add takes in a rank that has ended. Beyond wire.EndedLimit the oldest is forgotten: no leader was
// there, or one of an earlier release.
func (m *meter) add(e wire.Ended) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total += e.Usage.Time
	m.ended = append(m.ended, e)
	m.ended = m.ended[max(0, len(m.ended)-wire.EndedLimit):]
}

// settle forgets ranks whose usage is recorded.
func (m *meter) settle(all []wire.Work) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = slices.DeleteFunc(m.ended, func(e wire.Ended) bool {
		return slices.Contains(all, e.Work)
	})
}

// report returns the ranks that are to be settled, and the device time of all that have ended.
func (m *meter) report() ([]wire.Ended, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ended), m.total
}

// rankMeter counts what a rank uses, from the order that the node accepted until the rank returns.
type rankMeter struct {
	began time.Time
	sent  uint64 // of the node, when the rank began

	// What it computes in a denoising step, and in decoding all of the clip.
	step, decode float64

	mu         sync.Mutex
	stage      job.Stage
	done       int // of the stage, at the latest report
	operations float64
	memory     int64
	over       *job.Usage // once it has returned
}

// Equal shares are what meshes aim at; what a rank really multiplied may differ by a window or a
// band of rows. Sums over ranks are right.

// begin starts the count of a rank of a plan. Each rank counts an equal share of the operations.
func (r *rankMeter) begin(m job.Model, p job.Plan, sent uint64) {
	r.began, r.sent = time.Now(), sent
	r.step, r.decode = plan.StepWork(m, p.Spec), m.DecodeWork(p.Spec)
	r.step /= float64(max(1, p.Mesh.Size()))
}

// progressed counts the steps, or the frames, since the rank's latest report. The first report of a
// stage says where the rank begins.
func (r *rankMeter) progressed(p job.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	more := p.Done - r.done
	if p.Stage != r.stage {
		r.stage, more = p.Stage, 0
	}
	r.done = p.Done

	// Other stages make no passes that are worth counting: texts are short, and often cached.
	switch {
	case more <= 0:
	case p.Stage == job.StageDenoise:
		r.operations += float64(more) * r.step
	case p.Stage == job.StageDecode && p.Total > 0:
		r.operations += float64(more) / float64(p.Total) * r.decode / float64(max(1, p.Ranks))
	}
}

// usage returns what the rank has used so far, or in all. The node has sent so many bytes by now.
// What energy it took, neither of the devices says.
func (r *rankMeter) usage(sent uint64) job.Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over != nil {
		return *r.over
	}

	// What the node has sent is counted by its endpoint, which may have been opened again.
	if sent < r.sent {
		sent = r.sent
	}
	r.memory = max(r.memory, int64(rss())) //nolint:gosec // bytes of a process
	return job.Usage{Time: time.Since(r.began), Memory: r.memory,
		Sent:       int64(sent - r.sent), //nolint:gosec // bytes on a network
		Operations: r.operations}
}

// isOver reports whether the rank has returned.
func (r *rankMeter) isOver() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over != nil
}

// end stops the count: the rank has returned, and the device is free.
func (r *rankMeter) end(sent uint64) job.Usage {
	u := r.usage(sent)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = &u
	return u
}

// sentBytes returns what the node has sent to other ranks since its start.
func (s *Shard) sentBytes() uint64 {
	t := s.link.sent()
	return t.NATS + t.Direct
}

// usage returns what a rank has used so far.
func (s *Shard) usage(w *work) job.Usage { return w.meter.usage(s.sentBytes()) }

// endMeter takes a rank that has returned into the node's account.
func (s *Shard) endMeter(w *work) {
	s.meter.add(wire.Ended{Work: w.name(), Usage: w.meter.end(s.sentBytes())})
}

// metered returns the ranks that are to be settled and the device time of all ranks, that of the
// one at work too. A rank that returns meanwhile is missing for once, rather than counted twice.
func (s *Shard) metered(w *work) ([]wire.Ended, time.Duration) {
	ended, total := s.meter.report()
	if w != nil && !w.meter.isOver() {
		total += s.usage(w).Time
	}
	return ended, total
}
