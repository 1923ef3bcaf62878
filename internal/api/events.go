package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
)

// What browsers are told: how long to wait before they connect again, and the header in which they
// then say what they have seen.
const (
	eventRetry  = 2000 // milliseconds until a browser connects again
	lastEventID = "Last-Event-ID"
)

// events streams a video's status as server-sent events until it is final. A browser that connects
// again after the end is told to stop, by status 204. client.Watch reads the stream for `longtake
// job status --watch`; web pages read it with EventSource.
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

	// The reader's time limit is that of each write; a line of comment keeps the connection alive.
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

// eventStream writes the events of one video to one reader. A stream of hours has thousands of
// events, so most are patches of some bytes.
type eventStream struct {
	w io.Writer
	// Events so far, and the id of the latest.
	n int
	// The state and the attempt of the last video: when one changes, all of it is sent.
	state [2]any
	// What the reader knows, without what stays the same: see schema.Moving.
	last map[string]any
}

// send writes what is new of a video: all of it when its state or attempt has changed, else a
// patch, and nothing if nothing has. After a final video comes the end.
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

// write writes one event; the first also tells browsers when to connect again. A browser that
// connects again starts with the whole video: n counts within one stream.
func (e *eventStream) write(event string, data any) error {
	retry := ""
	if e.n == 0 {
		retry = fmt.Sprintf("retry: %d\n", eventRetry)
	}
	e.n++
	_, err := fmt.Fprintf(e.w, "%sevent: %s\nid: %d\ndata: %s\n\n", retry, event, e.n, encode(data))
	return err
}
