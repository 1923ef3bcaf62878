package target

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"sync/atomic"
)

// generations is the dialect of TensorRT-LLM's VisualGen and of MLPerf's endpoints: one request
// that is answered when the clip is done, with the server's path of the file or with the file.
type generations struct {
	peer
	// Two forms of it are in use. MLPerf's has response_format video_path and video_bytes; that of
	// later releases has path and file, and refuses unknown fields.
	later atomic.Bool
}

func newGenerations(p peer) *generations { return &generations{peer: p} }

// Make implements Target.
func (t *generations) Make(caller context.Context, r Request, _ Watch) (Outcome, error) {
	ctx, cancel := context.WithTimeout(caller, t.o.Timeout)
	defer cancel()
	var out Outcome
	var a answer

	// The first request finds out which form the server has; those that are sent at the same time do
	// so, too, each at the price of one more. A server that refuses both has neither, and what it
	// said of the first one is what it has to say.
	var first error
	for {
		later := t.later.Load()
		var err error
		a, err = t.post(ctx, "/v1/videos/generations", t.fields(r, later), r.Into,
			&out)
		if !later && wantsLater(err) {
			t.later.Store(true) // nothing was made of it
			first = err
			out.Retries++
			continue
		}
		if wantsLater(err) {
			t.later.Store(false)
			err = t.refusesPaths(cmp.Or(first, err))
		}
		if err != nil {
			return out, t.settled(caller, ctx, t.o.Timeout, err)
		}
		break
	}

	if a.rest != nil {
		if err := t.read(&a, &out); err != nil {
			return out, err
		}
	}

	if a.video == nil {
		return out, nil // it is where the server says, and not looked at
	}
	a.video.fill(&out)
	return out, a.video.compare(r)
}

// fields are a request's in one of the two forms.
func (t *generations) fields(r Request, later bool) fields {
	f := fields{"prompt": r.Prompt, "seed": r.Seed}
	f.put("model", t.o.Model, "negative_prompt", r.Negative, "size", r.size(), "fps", r.FPS,
		"num_frames", r.Frames, "num_inference_steps", r.Steps, "guidance_scale", r.Guidance)
	f.put("model", r.Model)
	second := f
	if later {
		second = fields{}
	}

	second.put("guidance_scale_2", r.Guidance2)
	if later && len(second) > 0 {
		f["extra_params"] = second
	}

	// Neither the path nor the file counts in the latency; the path costs the server less.
	words := map[bool]string{false: "video_path", true: "video_bytes"}
	if later {
		words = map[bool]string{false: "path", true: "file"}
	}

	f["response_format"] = words[t.o.Content]
	maps.Copy(f, r.Extra)
	return f
}

// A word of the dialect that nobody has typed is no help in an error, so the flag that stands for
// it is named. What the server said stays in front: it may know a setting that turns paths on.

// refusesPaths says what to do where a server does not answer with the path of a file, which is
// what is asked for unless the user wants the file.
func (t *generations) refusesPaths(err error) error {
	var f *Failure
	if t.o.Content || !errors.As(err, &f) || !bytes.Contains(f.body, []byte("response_format")) {
		return err
	}
	out := *f
	out.Message += "; the path of the file was asked for: --content asks for the file itself"
	return &out
}

// wantsLater reports whether a server knows the later form alone.
func wantsLater(err error) bool {
	var f *Failure
	return errors.As(err, &f) && (f.Status == http.StatusUnprocessableEntity ||
		f.Status == http.StatusBadRequest) && (bytes.Contains(f.body, []byte("response_format")) ||
		bytes.Contains(f.body, []byte("guidance_scale_2")))
}

// read reads the JSON of an answer in either form.
func (t *generations) read(a *answer, out *Outcome) error {
	var v struct {
		// MLPerf's form.
		VideoID string  `json:"video_id"`
		Path    *string `json:"video_path"`
		Bytes   *string `json:"video_bytes"`
		// The later one, which sends files as they are.
		ID     string  `json:"id"`
		Output *string `json:"output_path"`
	}

	if err := a.json(&v); err != nil {
		return err
	}

	if out.ID = v.VideoID + v.ID; out.ID == "" || len(out.ID) > idMax {
		return fail(Malformed, "an answer whose id has %d bytes; allowed: 1 to %d", len(out.ID), idMax)
	}

	// An answer with two videos, or none, is a server that speaks another form.
	given := 0
	for _, p := range []*string{v.Path, v.Output, v.Bytes} {
		if p != nil && *p != "" {
			given++
		}
	}

	if given != 1 {
		return fail(Malformed, "an answer with %d of video_path, video_bytes and output_path; "+
			"allowed: one", given)
	}
	if v.Bytes != nil {
		return a.decoded(*v.Bytes, t.o.ContentMax)
	}
	return nil
}
