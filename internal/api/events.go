package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Events of a stream: the whole video at first, when its state or attempt changes, and when it is
// final; in between what has changed, as a merge patch (RFC 7396); then the end.
const (
	eventVideo    = "video"
	eventProgress = "progress"
	eventEnd      = "end"
)

const (
	eventRetry  = 2000 // milliseconds until a browser connects again
	lastEventID = "Last-Event-ID"
)

// events streams a video's status until it is final. A browser that comes back after the end is
// told to stop, which is what status 204 means to it.
func (s *server) events(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get(lastEventID) == eventEnd {
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
	alive := time.NewTicker(keepAlive)
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
func (e *eventStream) send(v Video) error {
	state := [2]any{v.Details.State, v.Details.Attempt}
	now := moving(v)
	var err error
	switch {
	case e.n == 0 || state != e.state || v.Final():
		err = e.write(eventVideo, v)
	default:
		if patch := difference(e.last, now); len(patch) > 0 {
			patch["id"] = v.ID
			err = e.write(eventProgress, patch)
		}
	}
	e.state, e.last = state, now
	if err == nil && v.Final() {
		_, err = fmt.Fprintf(e.w, "event: %s\nid: %[1]s\ndata: %s\n\n", eventEnd,
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

// moving returns the JSON of a video without what never changes, and may be large.
func moving(v Video) map[string]any {
	v.Prompt, v.Details.Spec = "", job.Spec{}
	m, err := jsonObject(encode(v))
	if err != nil {
		panic(err) // it was made here
	}
	return m
}

// jsonObject reads a JSON object; its numbers keep all their digits.
func jsonObject(b []byte) (m map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return m, d.Decode(&m)
}

// difference returns what turns one object into another, as a merge patch: null takes a field away.
func difference(from, to map[string]any) map[string]any {
	patch := map[string]any{}
	for name := range from {
		if _, ok := to[name]; !ok {
			patch[name] = nil
		}
	}
	for name, v := range to {
		inner, isObject := v.(map[string]any)
		before, wasObject := from[name].(map[string]any)
		switch {
		case isObject && wasObject:
			if d := difference(before, inner); len(d) > 0 {
				patch[name] = d
			}
		case !bytes.Equal(encode(from[name]), encode(v)):
			patch[name] = v
		}
	}
	return patch
}

// follow is what a video is after an event.
func follow(v Video, event string, data []byte) (Video, error) {
	if event == eventProgress {
		return mergePatch(v, data)
	}
	v = Video{}
	return v, json.Unmarshal(data, &v)
}

// mergePatch applies a patch to a video.
func mergePatch(v Video, patch []byte) (out Video, err error) {
	have, err := jsonObject(encode(v))
	if err != nil {
		return v, err
	}
	change, err := jsonObject(patch)
	if err != nil {
		return v, err
	}
	return out, json.Unmarshal(encode(merge(have, change)), &out)
}

func merge(have, change map[string]any) map[string]any {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]any{}
	}
	for _, name := range slices.Sorted(maps.Keys(change)) {
		switch v := change[name].(type) {
		case nil:
			delete(out, name)
		case map[string]any:
			inner, _ := out[name].(map[string]any)
			out[name] = merge(inner, v)
		default:
			out[name] = v
		}
	}
	return out
}
