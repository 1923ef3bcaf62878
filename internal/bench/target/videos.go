package target

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/api/client"
)

const (
	// Two polls are a hundredth of the clip's age apart, within these.
	pollLeast = 20 * time.Millisecond
	pollMost  = time.Second
	// How long questions after a clip may fail, all of them, before it is given up.
	pollPatience = 30 * time.Second
	// How often a download is tried, and how long between two tries.
	downloadTries = 4
	downloadPause = 250 * time.Millisecond
	// Bounds of what a server says of itself.
	idMax     = 256
	stagesMax = 32
)

// videos is OpenAI's dialect: a clip is queued, asked after until it is there, and downloaded. What
// servers add to it was read in the sources of vLLM-Omni, SGLang, FastVideo and TensorRT-LLM.
type videos struct {
	peer
	// Requests go as forms, which vLLM-Omni wants; SGLang reads JSON, and no form without a picture.
	forms atomic.Bool
}

func newVideos(p peer) *videos {
	t := &videos{peer: p}
	t.forms.Store(p.seen.owner() == "vllm")
	return t
}

// clip is a video's object, of which servers have different parts.
type clip struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// Percent; some servers have it at 0 until the end, some stop at 99.
	Progress float64 `json:"progress"`
	// What is made, which SGLang has after it has rounded what was asked for.
	Size string `json:"size"`
	// A text, or an object with a message.
	Error json.RawMessage `json:"error"`
	// Of vLLM-Omni and SGLang, in seconds and MiB. What the stages are called differs by pipeline.
	Seconds *float64           `json:"inference_time_s"`
	Stages  map[string]float64 `json:"stage_durations"`
	PeakMB  float64            `json:"peak_memory_mb"`
}

// readClip reads a video's object. Its status is one of OpenAI's words from then on: TensorRT-LLM
// has two for in_progress.
func readClip(b []byte) (clip, error) {
	var c clip
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fail(Malformed, "an answer that is no JSON of a video: %w", err)
	}

	if c.ID == "" || len(c.ID) > idMax {
		return c, fail(Malformed, "a video whose id has %d bytes; allowed: 1 to %d", len(c.ID), idMax)
	}

	if len(c.Stages) > stagesMax {
		return c, fail(Malformed, "a video with %d stages; allowed: up to %d", len(c.Stages), stagesMax)
	}

	switch c.Status {
	case "queued", "in_progress", "completed", "failed":
	case "generating", "postprocessing", "processing", "running":
		c.Status = "in_progress"
	case "cancelled", "canceled", "expired", "deleted":
		c.Status = "failed"
	default:
		return c, fail(Malformed, "a video with the status %.40q", c.Status)
	}
	return c, nil
}

// Make implements Target.
func (t *videos) Make(caller context.Context, r Request, watch Watch) (Outcome, error) {
	ctx, cancel := context.WithTimeout(caller, t.o.Timeout)
	defer cancel()
	var out Outcome

	c, err := t.create(ctx, r, &out)
	if err == nil {
		out.ID = c.ID
		c, err = t.follow(ctx, c, &out, watch)
	}

	if err != nil {
		if out.ID != "" && c.Status != "failed" {
			t.delete(ctx, out.ID)
		}
		return out, t.settled(caller, ctx, t.o.Timeout, err)
	}

	// Nothing of the clip can be seen before its end.
	c.fill(&out)
	out.FirstPlayable = out.Latency
	if !t.o.Content {
		return out, film{width: out.Width, height: out.Height}.compare(r)
	}

	f, err := t.download(ctx, c.ID, r.Into, &out)
	if err != nil {
		return out, t.settled(caller, ctx, t.o.Timeout, err)
	}
	f.fill(&out)
	return out, f.compare(r)
}

// fields are a request's in the words that these servers share.
func (t *videos) fields(r Request) fields {
	f := fields{"prompt": r.Prompt, "seed": r.Seed}
	f.put("model", t.model(r), "negative_prompt", r.Negative, "size", r.size(),
		"num_frames", r.Frames, "fps", r.FPS, "num_inference_steps", r.Steps,
		"guidance_scale", r.Guidance, "guidance_scale_2", r.Guidance2)
	maps.Copy(f, r.Extra)
	return f
}

// create queues a clip. It goes on for a while after ctx, so that a clip that was taken can be
// deleted. A server that misses the prompt in JSON gets a form, then and from then on: nothing was
// queued.
func (t *videos) create(ctx context.Context, r Request, out *Outcome) (clip, error) {
	if ctx.Err() != nil {
		return clip{}, ctx.Err() // nothing is begun that would be taken back at once
	}
	lasting, done := lingering(ctx)
	defer done()
	for {
		form := t.forms.Load()
		write := t.fields(r).json
		if form {
			write = t.fields(r).form
		}
		b, err := write()
		if err != nil {
			return clip{}, err
		}

		out.Sent = time.Now()
		resp, err := t.send(lasting, http.MethodPost, "/v1/videos", b)
		if !form && wantsForm(err) {
			t.forms.Store(true)
			out.Retries++
			continue
		}
		if err != nil {
			return clip{}, err
		}
		return readBody(resp)
	}
}

// readBody reads a video's object, and closes the answer.
func readBody(resp *http.Response) (clip, error) {
	defer resp.Body.Close()
	b, err := readAll(resp.Body, answerMax)
	if err != nil {
		return clip{}, err
	}
	return readClip(b)
}

// wantsForm reports whether a server has not found the prompt that it was sent.
func wantsForm(err error) bool {
	var f *Failure
	if !errors.As(err, &f) || f.Status != http.StatusUnprocessableEntity &&
		f.Status != http.StatusBadRequest && f.Status != http.StatusUnsupportedMediaType {
		return false
	}
	b := bytes.ToLower(f.body)
	return f.Status == http.StatusUnsupportedMediaType || bytes.Contains(b, []byte("prompt")) &&
		(bytes.Contains(b, []byte("missing")) || bytes.Contains(b, []byte("required")))
}

// follow asks after a clip until it is final. The latency ends with the answer that says so, and
// may have ended at any time since the question before it. Times of the server are not taken: they
// are whole seconds, and what is finer (inference_time_s) leaves out the queue or the file.
func (t *videos) follow(ctx context.Context, c clip, out *Outcome, watch Watch) (clip, error) {
	before := time.Duration(0)
	var failing time.Time // since when no question was answered
	for {
		now := time.Since(out.Sent)
		watch.tell(Progress{ID: c.ID, State: c.Status, Part: min(max(c.Progress/100, 0), 1)})
		switch c.Status {
		case "completed":
			out.Latency, out.Resolution = now, now-before
			return c, nil
		case "failed":
			return c, fail(Failed, "the clip %s failed: %s", c.ID, cmp.Or(oneLine(said(c.Error)),
				"it does not say why"))
		case "in_progress":
			if out.Queue == 0 && out.Polls > 0 {
				out.Queue = before // it has begun by then
			}
		}

		// A question that fails says nothing of the clip: the time for which it may have been complete
		// goes on from the last one that was answered.
		if err := client.Pause(ctx, t.interval(now)); err != nil {
			return c, err
		}
		asked := time.Since(out.Sent)
		out.Polls++
		next, err := t.ask(ctx, c.ID)
		switch {
		case err == nil:
			c, before, failing = next, asked, time.Time{}
		case !passing(err) || ctx.Err() != nil:
			return c, err
		default:
			out.Retries++
			if failing.IsZero() {
				failing = time.Now()
			}
			if time.Since(failing) > pollPatience {
				return c, err
			}
		}
	}
}

// interval is how long to wait after so much of a clip's life: short enough for its latency, and
// rare enough not to be a load.
func (t *videos) interval(age time.Duration) time.Duration {
	most := pollMost
	if t.o.Poll > 0 {
		most = t.o.Poll
	}
	return min(max(age/100, pollLeast), most)
}

// ask asks after a clip once. vLLM-Omni answers with an error's status for one that has failed.
func (t *videos) ask(ctx context.Context, id string) (clip, error) {
	resp, err := t.send(ctx, http.MethodGet, videoPath(id), body{})
	var f *Failure
	if errors.As(err, &f) && f.body != nil {
		if c, cerr := readClip(f.body); cerr == nil && c.Status == "failed" && c.ID == id {
			return c, nil
		}
		if f.Status == http.StatusNotFound {
			return clip{}, fail(Failed, "the server knows the clip %s no more", id)
		}
	}

	if err != nil {
		return clip{}, err
	}

	c, err := readBody(resp)
	if err == nil && c.ID != id {
		err = fail(Malformed, "an answer about the video %.64q, not %.64q", c.ID, id)
	}
	return c, err
}

// passing reports whether a failed question may be answered the next time.
func passing(err error) bool {
	var f *Failure
	return errors.As(err, &f) && (f.Kind == Refused || f.Kind == Unreachable || f.Status >= 500)
}

// fill notes what the server tells of a completed clip.
func (c clip) fill(o *Outcome) {
	var w, h int
	if n, _ := fmt.Sscanf(c.Size, "%dx%d", &w, &h); n == 2 && w > 0 && h > 0 {
		o.Width, o.Height = w, h
	}
	if c.PeakMB > 0 && c.PeakMB < 1<<30 {
		o.PeakMemory = int64(c.PeakMB * (1 << 20))
	}
	o.Stages = map[string]time.Duration{}
	if c.Seconds != nil {
		stage(o.Stages, "inference", *c.Seconds)
	}
	for name, seconds := range c.Stages {
		stage(o.Stages, stageName(name), seconds)
	}
}

// stage adds to a stage's time what makes sense as one.
func stage(to map[string]time.Duration, name string, seconds float64) {
	if seconds > 0 && seconds < math.MaxInt32 {
		to[name] += time.Duration(seconds * float64(time.Second))
	}
}

// stageName is our name for a stage of a pipeline, or its own.
func stageName(name string) string {
	low := strings.ToLower(name)
	for _, s := range [][2]string{{"text", "text"}, {"prompt", "text"}, {"denois", "denoise"},
		{"diffus", "denoise"}, {"decod", "decode"}, {"mp4", "encode"}} {
		if strings.Contains(low, s[0]) {
			return s[1]
		}
	}
	return oneLine(name)
}

// Of a clip that is complete, downloading cannot make another: it is tried again, within limits, so
// that one lost connection does not spoil the figures of an hour.

// download reads a clip's file. Some servers say "completed" before the file can be had.
func (t *videos) download(ctx context.Context, id string, into io.Writer, out *Outcome) (film,
	error) {
	for try := 1; ; try++ {
		resp, err := t.send(ctx, http.MethodGet, videoPath(id)+"/content", body{})
		if err == nil {
			defer resp.Body.Close()
			return examine(resp.Body, t.o.ContentMax, into)
		}

		// A failure of the network, and a file that is not there yet, may pass.
		var f *Failure
		again := errors.As(err, &f) && (passing(err) || f.Status == http.StatusNotFound)
		if !again || try == downloadTries {
			return film{}, err
		}
		out.Retries++
		if err := client.Pause(ctx, downloadPause); err != nil {
			return film{}, err
		}
	}
}

// delete takes a clip back, as far as the server can: SGLang forgets it, and makes it nevertheless.
func (t *videos) delete(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if resp, err := t.send(ctx, http.MethodDelete, videoPath(id), body{}); err == nil {
		resp.Body.Close()
	}
}

// videoPath is the route of a clip, whose id may be any text.
func videoPath(id string) string { return "/v1/videos/" + url.PathEscape(id) }
