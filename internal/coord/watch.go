package coord

import (
	"context"
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/job"
)

// hub sends views of jobs to their watchers. Its lock comes before the leader's and the machine's.
type hub struct {
	view     func(job.ID) (View, bool)
	mu       sync.Mutex
	watchers map[job.ID][]*watcher
}

// watcher is one reader; its channel holds the latest view.
type watcher struct{ ch chan View }

// add registers a watcher and sends it the first view; false if the job is unknown.
func (h *hub) add(ctx context.Context, id job.ID) (<-chan View, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.view(id)
	if !ok {
		return nil, false
	}
	w := &watcher{ch: make(chan View, 1)}
	w.ch <- v
	if v.State.Final() {
		close(w.ch)
		return w.ch, true
	}
	h.watchers[id] = append(h.watchers[id], w)
	context.AfterFunc(ctx, func() { h.remove(id, w) })
	return w.ch, true
}

// remove closes a watcher, unless that has been done.
func (h *hub) remove(id job.ID, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(h.watchers[id], w)
	if i < 0 {
		return
	}
	close(w.ch)
	h.watchers[id] = slices.Delete(h.watchers[id], i, i+1)
	if len(h.watchers[id]) == 0 {
		delete(h.watchers, id)
	}
}

// notify sends the job's present view; after a final one, or if the job is gone, it closes.
func (h *hub) notify(id job.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers[id]) == 0 {
		return
	}
	v, ok := h.view(id)
	for _, w := range h.watchers[id] {
		if ok {
			w.put(v)
		}
		if !ok || v.State.Final() {
			close(w.ch)
		}
	}
	if !ok || v.State.Final() {
		delete(h.watchers, id)
	}
}

// put replaces a view that was not read yet; the hub's lock makes it the only sender.
func (w *watcher) put(v View) {
	select {
	case <-w.ch:
	default:
	}
	w.ch <- v
}

// closeAll ends all watches.
func (h *hub) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ws := range h.watchers {
		for _, w := range ws {
			close(w.ch)
		}
	}
	clear(h.watchers)
}
