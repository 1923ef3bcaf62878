package target

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// Dynamo's frontend hands a request to a worker of vLLM-Omni, SGLang, TensorRT-LLM or FastVideo and
// waits. What the worker does not know of nvext it leaves out, without a word: the file is compared
// with the request for that reason, if Options.Content has it read.

// dynamo is the dialect of NVIDIA Dynamo's frontend: POST /v1/videos is answered when the clip is
// done, with a URL of the file or with the file as base64. What diffusion models take is in
// "nvext".
type dynamo struct{ peer }

func newDynamo(p peer) *dynamo { return &dynamo{p} }

// Make implements Target.
func (t *dynamo) Make(caller context.Context, r Request, _ Watch) (Outcome, error) {
	ctx, cancel := context.WithTimeout(caller, t.o.Timeout)
	defer cancel()

	var out Outcome
	if t.model(r) == "" {
		return out, fail(Rejected, "the server wants the name of a model, and lists none; give --model")
	}

	a, err := t.post(ctx, "/v1/videos", t.fields(r), r.Into, &out)
	if err == nil {
		err = t.read(ctx, &a, &out)
	}
	if err != nil {
		return out, t.settled(caller, ctx, t.o.Timeout, err)
	}

	// Without the file, what the server made is not known.
	if a.video == nil {
		return out, nil
	}
	a.video.fill(&out)
	return out, a.video.compare(r)
}

// fields are a request's. A URL is asked for, unless the file is to be read: then the answer has
// it, as a URL may be of a file system that is not reached from here.
func (t *dynamo) fields(r Request) fields {
	f := fields{"prompt": r.Prompt, "response_format": "url"}
	f.put("model", t.model(r), "size", r.size())
	if t.o.Content {
		f["response_format"] = "b64_json"
	}
	ext := fields{"seed": r.Seed}
	ext.put("negative_prompt", r.Negative, "fps", r.FPS, "num_frames", r.Frames,
		"num_inference_steps", r.Steps, "guidance_scale", r.Guidance, "guidance_scale_2", r.Guidance2)
	f["nvext"] = ext
	maps.Copy(f, r.Extra)
	return f
}

// read reads an answer, and the file behind its URL if that is wanted and can be had.
func (t *dynamo) read(ctx context.Context, a *answer, out *Outcome) error {
	var v struct {
		ID      string  `json:"id"`
		Status  string  `json:"status"`
		Error   *string `json:"error"`
		Seconds float64 `json:"inference_time_s"`
		Data    []struct {
			URL    string `json:"url"`
			Base64 string `json:"b64_json"`
		} `json:"data"`
	}

	if err := a.json(&v); err != nil {
		return err
	}

	out.ID = oneLine(v.ID)

	if out.Stages != nil {
		stage(out.Stages, "inference", v.Seconds)
	}

	switch {
	case v.Status != "completed" || v.Error != nil && *v.Error != "":
		why := oneLine(v.Status)
		if v.Error != nil {
			why = cmp.Or(oneLine(*v.Error), why)
		}
		return fail(Failed, "the clip failed: %s", why)
	case len(v.Data) != 1 || v.Data[0].URL == "" && v.Data[0].Base64 == "":
		return fail(Malformed, "an answer with %d videos; allowed: one, as url or b64_json",
			len(v.Data))
	case v.Data[0].Base64 != "":
		return a.decoded(v.Data[0].Base64, t.o.ContentMax)
	case !t.o.Content:
		return nil
	}
	return t.fetch(ctx, v.Data[0].URL, a)
}

// fetch reads the file behind a URL of HTTP, which may be relative to the server. What is on the
// server's disk, or in a store of objects, is not looked at.
func (t *dynamo) fetch(ctx context.Context, at string, a *answer) error {
	base, err := url.Parse(t.o.URL + "/")
	if err != nil {
		return fail(Malformed, "cannot read the server's URL: %w", err)
	}

	u, err := base.Parse(at)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") {
		return nil
	}

	// A key goes to the server's own host alone.
	resp, err := t.send(ctx, http.MethodGet, u.String(), body{})
	if err != nil {
		return err
	}

	defer resp.Body.Close()
	f, err := examine(resp.Body, t.o.ContentMax, a.into)
	a.video = &f
	return err
}
