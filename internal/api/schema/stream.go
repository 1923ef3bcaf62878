package schema

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// How long a server takes: DeleteTime bounds the wait for a job to stop before it is deleted,
// KeepAlive is the longest pause between two signs of life on a stream. Clients are as patient.
const (
	DeleteTime = 30 * time.Second
	KeepAlive  = 15 * time.Second
)

// Events of a stream: the whole video at first, when its state or attempt changes, and when it is
// final; in between what has changed, as a merge patch (RFC 7396); then the end.
const (
	EventVideo    = "video"
	EventProgress = "progress"
	EventEnd      = "end"
)

// Moving returns the JSON of a video without what never changes, and may be large. The server sends
// a Difference of two of them as EventProgress.
func Moving(v Video) map[string]any {
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

// Difference returns what turns one object into another, as a merge patch: null takes a field away.
// Lists are replaced whole. Neither object is changed.
func Difference(from, to map[string]any) map[string]any {
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
			if d := Difference(before, inner); len(d) > 0 {
				patch[name] = d
			}
		case !bytes.Equal(encode(from[name]), encode(v)):
			patch[name] = v
		}
	}
	return patch
}

// Follow is what a video is after an event. Data that is not the JSON of the event is an error,
// with which the stream cannot go on.
func Follow(v Video, event string, data []byte) (Video, error) {
	if event == EventProgress {
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

// merge applies a merge patch to an object: null takes a field away, objects are merged, anything
// else replaces. have stays as it is, also inside.
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

// encode returns the JSON of a value of types that are all ours.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
