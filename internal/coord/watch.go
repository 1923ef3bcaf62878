package coord

import (
	"slices"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// hub sends views of jobs to their watchers. Like the core it is touched in the loop alone, which
// never waits for a reader: a view that was not read when the next one comes is dropped.
type hub struct {
	core     *core.Core
	watchers map[job.ID][]*watcher // of jobs that are not final
}

func newHub(k *core.Core) *hub { return &hub{core: k, watchers: map[job.ID][]*watcher{}} }

// watcher is one reader; its channel holds the latest view.
type watcher struct{ ch chan View }

// add registers a watcher and sends it the first view; ErrNotFound if the job is unknown.
func (h *hub) add(id job.ID) (*watcher, error) {
	v, err := h.core.View(id)
	if err != nil {
		return nil, err
	}
	w := &watcher{ch: make(chan View, 1)}
	w.ch <- v
	if v.State.Final() {
		close(w.ch)
	} else {
		h.watchers[id] = append(h.watchers[id], w)
	}
	return w, nil
}

// remove closes a watcher, unless that has been done.
func (h *hub) remove(id job.ID, w *watcher) {
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
	if len(h.watchers[id]) == 0 {
		return
	}
	v, err := h.core.View(id)
	for _, w := range h.watchers[id] {
		if err == nil {
			w.put(v)
		}
		if err != nil || v.State.Final() {
			close(w.ch)
		}
	}
	if err != nil || v.State.Final() {
		delete(h.watchers, id)
	}
}

// put replaces a view that was not read yet; the loop is the only sender.
func (w *watcher) put(v View) {
	select {
	case <-w.ch:
	default:
	}
	w.ch <- v
}

// closeAll ends all watches, when the term ends: a reader then asks the next leader.
func (h *hub) closeAll() {
	for _, ws := range h.watchers {
		for _, w := range ws {
			close(w.ch)
		}
	}
	clear(h.watchers)
}
