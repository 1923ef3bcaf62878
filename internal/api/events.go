package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
)

const (
	eventRetry  = 2000 // milliseconds until a browser connects again
	lastEventID = "Last-Event-ID"
)

// events streams a video's status until it is final. A browser that comes back after the end is
// told to stop, which is what status 204 means to it.
func (s *server) events(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get(lastEventID) == schema.EventEnd {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	views, err := s.service.Watch(ctx, id(r))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold it back
	if r.Method == http.MethodHead {
		return nil
	}
	out, stream := http.NewResponseController(w), eventStream{w: w}
	alive := time.NewTicker(schema.KeepAlive)
	defer alive.Stop()
	for {
		select {
		case v, ok := <-views:
			if !ok {
				return nil
			}
			err = stream.send(toVideo(v))
		case <-alive.C:
			_, err = io.WriteString(w, ": waiting\n\n")
		}
		if err != nil {
			return nil //nolint:nilerr // the reader has left
		}
		_ = out.Flush() // a writer that cannot, buffers
	}
}

// eventStream writes the events of one video.
type eventStream struct {
	w     io.Writer
	n     int // videos so far
	state [2]any
	last  map[string]any // what the reader knows, without what stays the same
}

// send writes what is new of a video.
func (e *eventStream) send(v schema.Video) error {
	state := [2]any{v.Details.State, v.Details.Attempt}
	now := schema.Moving(v)
	var err error
	switch {
	case e.n == 0 || state != e.state || v.Final():
		err = e.write(schema.EventVideo, v)
	default:
		if patch := schema.Difference(e.last, now); len(patch) > 0 {
			patch["id"] = v.ID
			err = e.write(schema.EventProgress, patch)
		}
	}
	e.state, e.last = state, now
	if err == nil && v.Final() {
		_, err = fmt.Fprintf(e.w, "event: %s\nid: %[1]s\ndata: %s\n\n", schema.EventEnd,
			encode(map[string]any{"id": v.ID, "status": v.Status}))
	}
	return err
}

func (e *eventStream) write(event string, data any) error {
	retry := ""
	if e.n == 0 {
		retry = fmt.Sprintf("retry: %d\n", eventRetry)
	}
	e.n++
	_, err := fmt.Fprintf(e.w, "%sevent: %s\nid: %d\ndata: %s\n\n", retry, event, e.n, encode(data))
	return err
}
