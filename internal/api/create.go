package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

const bodyMax = 1 << 20 // bytes of a request

// Create is what POST /v1/videos takes: OpenAI's fields and ours. Nil and empty ones take the
// model's defaults. Size stands for Width and Height, Seconds for Frames at FPS.
type Create struct {
	Model          string      `json:"model,omitempty"`
	Prompt         *string     `json:"prompt"`
	NegativePrompt string      `json:"negative_prompt,omitempty"`
	Storyboard     []job.Scene `json:"storyboard,omitempty"` // the first at 0, or after the prompt
	Size           string      `json:"size,omitempty"`       // WxH
	Width          *int        `json:"width,omitempty"`
	Height         *int        `json:"height,omitempty"`
	Seconds        *float64    `json:"seconds,omitempty"`
	Frames         *int        `json:"num_frames,omitempty"`
	FPS            *job.Rate   `json:"fps,omitempty"`
	Steps          *int        `json:"num_inference_steps,omitempty"`
	GuidanceScale  *float64    `json:"guidance_scale,omitempty"`
	FlowShift      *float64    `json:"flow_shift,omitempty"`
	Scheduler      string      `json:"scheduler,omitempty"`
	Seed           *uint64     `json:"seed,omitempty"`
	DType          string      `json:"dtype,omitempty"`
	Format         string      `json:"format,omitempty"`
	Shards         *int        `json:"shards,omitempty"`
	Mesh           string      `json:"mesh,omitempty"` // such as "cfg=2,ulysses=3"
	Threads        *int        `json:"threads,omitempty"`
	Priority       *int        `json:"priority,omitempty"` // higher ones go first; default 0
	Window         *int        `json:"window,omitempty"`   // latent frames; 0: the clip as a whole
	Overlap        *int        `json:"overlap,omitempty"`
	Schedule       string      `json:"window_schedule,omitempty"`
	Long           string      `json:"long,omitempty"`
}

// set stores one field; the value is the text of a JSON scalar or a form's value.
func (c *Create) set(name, value string) error {
	switch name {
	case "model":
		c.Model = value
	case "prompt":
		c.Prompt = &value
	case "negative_prompt":
		c.NegativePrompt = value
	case "storyboard":
		return c.setStoryboard(value)
	case "size":
		c.Size = value
	case "scheduler":
		c.Scheduler = value
	case "dtype":
		c.DType = value
	case "format":
		c.Format = value
	case "mesh":
		c.Mesh = value
	case "window_schedule":
		c.Schedule = value
	case "long":
		c.Long = value
	case "seed":
		seed, err := job.ParseSeed(value)
		c.Seed = seed
		return err
	default:
		return c.setNumber(name, value)
	}
	return nil
}

// setStoryboard reads a JSON array of scenes.
func (c *Create) setStoryboard(value string) error {
	d := json.NewDecoder(strings.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&c.Storyboard); err != nil || len(c.Storyboard) == 0 || d.More() {
		return &job.FieldError{Field: "storyboard", Value: fmt.Sprintf("%.64q", value),
			Allowed: `scenes, such as [{"start": 0, "prompt": "a"}, {"start": 2.5, "prompt": "b"}]`}
	}
	return nil
}

func (c *Create) setNumber(name, value string) error {
	ints := map[string]**int{"width": &c.Width, "height": &c.Height, "num_frames": &c.Frames,
		"num_inference_steps": &c.Steps, "shards": &c.Shards, "threads": &c.Threads,
		"priority": &c.Priority, "window": &c.Window, "overlap": &c.Overlap}
	if p, ok := ints[name]; ok {
		return parse(p, name, value, job.ParseInt, "an integer")
	}
	if name == "fps" {
		return parse(&c.FPS, name, value, job.ParseRate, "a number such as 16 or 23.976, or 24000/1001")
	}
	floats := map[string]**float64{"seconds": &c.Seconds, "guidance_scale": &c.GuidanceScale,
		"flow_shift": &c.FlowShift}
	if p, ok := floats[name]; ok {
		return parse(p, name, value, func(s string) (float64, error) {
			return strconv.ParseFloat(s, 64)
		}, "a number")
	}
	if name == inputField {
		return &job.FieldError{Field: name, Value: "no file", Allowed: inputAllowedForm}
	}
	return invalid(name, "unknown field %.64q; allowed: %s", name, strings.Join(fieldNames, ", "))
}

var fieldNames = []string{"model", "prompt", "negative_prompt", "storyboard", "size", "width",
	"height", "seconds", "num_frames", "fps", "num_inference_steps", "guidance_scale",
	"flow_shift", "scheduler", "seed", "dtype", "format", "shards", "mesh", "threads", "priority",
	"window", "overlap", "window_schedule", "long", inputField}

func parse[T any](p **T, name, value string, f func(string) (T, error), want string) error {
	v, err := f(strings.TrimSpace(value))
	if err != nil {
		return &job.FieldError{Field: name, Value: fmt.Sprintf("%.64q", value), Allowed: want}
	}
	*p = &v
	return nil
}

// readCreate reads the body of a request. A form may bring an input, which the caller drops.
func (s *server) readCreate(w http.ResponseWriter, r *http.Request) (c Create, in *Input,
	err error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "multipart/form-data" && params["boundary"] != "":
		r.Body = http.MaxBytesReader(w, r.Body, inputMax+bodyMax)
		in, err = c.readForm(r, func(p *multipart.Part) (*Input, error) {
			return s.receive(r.Context(), p)
		})
	case err == nil && kind == "application/json":
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		err = c.readJSON(r.Body)
	default:
		return c, nil, &Error{Status: http.StatusUnsupportedMediaType, Type: "invalid_request_error",
			Message: fmt.Sprintf("Content-Type is %.64q; allowed: application/json, multipart/form-data",
				r.Header.Get("Content-Type"))}
	}
	return c, in, tooLarge(err)
}

// tooLarge turns a *http.MaxBytesError into an answer.
func tooLarge(err error) error {
	var large *http.MaxBytesError
	if !errors.As(err, &large) {
		return err
	}
	return &Error{Status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error",
		Message: fmt.Sprintf("the body is too large; allowed: %d bytes", large.Limit)}
}

// prompted wants something to show.
func (c *Create) prompted() error {
	if c.Prompt != nil || c.Storyboard != nil {
		return nil
	}
	return invalid("prompt", "prompt is missing; allowed: a text, which may be empty, "+
		"or a storyboard")
}

// readForm takes the fields of a form; receive takes a file.
func (c *Create) readForm(r *http.Request, receive func(*multipart.Part) (*Input, error)) (
	in *Input, err error) {
	m, err := r.MultipartReader()
	if err != nil {
		return nil, invalid("", "cannot read the form: %v", err)
	}
	left := int64(bodyMax) // bytes of values
	for {
		part, err := m.NextPart()
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err != nil {
			return in, bodyError("the form", err)
		}
		if part.FormName() == inputField && part.FileName() != "" {
			if in != nil {
				return in, invalid(inputField, "%s is given twice; allowed: once", inputField)
			}
			if in, err = receive(part); err != nil {
				return nil, err
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, left+1))
		if err != nil {
			return in, bodyError("the form", err)
		}
		if left -= int64(len(value)); left < 0 {
			return in, &http.MaxBytesError{Limit: bodyMax}
		}
		if err := c.set(part.FormName(), string(value)); err != nil {
			return in, err
		}
	}
}

func (c *Create) readJSON(r io.Reader) error {
	d := json.NewDecoder(r)
	var fields map[string]json.RawMessage
	if err := d.Decode(&fields); err != nil {
		return bodyError("the JSON object", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("", "cannot read the JSON object: something follows it")
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names) // so that the first error is always the same
	for _, name := range names {
		raw, text := fields[name], ""
		switch kind := raw[0]; {
		case kind == 'n': // null
			continue
		case name == "storyboard" || name == inputField:
			text = string(raw)
		case kind == '"':
			if err := json.Unmarshal(raw, &text); err != nil {
				return bodyError(name, err)
			}
		case strings.IndexByte("{[tf", kind) >= 0:
			return &job.FieldError{Field: name, Value: fmt.Sprintf("%.64s", raw),
				Allowed: "a text or a number"}
		default:
			text = string(raw)
		}
		if err := c.set(name, text); err != nil {
			return err
		}
	}
	return nil
}

// bodyError keeps a *http.MaxBytesError to be seen, and blames the client for anything else.
func bodyError(what string, err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return invalid("", "cannot read %s: %v", what, err)
}

// Request turns c into what the coordinator takes; m fills in what Seconds depends on.
func (c Create) Request(m job.Model) (job.Request, error) {
	r := job.Request{
		Model: c.Model, NegativePrompt: c.NegativePrompt, Scenes: c.Storyboard,
		Width: c.Width, Height: c.Height,
		Frames: c.Frames, FPS: c.FPS, Steps: c.Steps, GuidanceScale: c.GuidanceScale,
		FlowShift: c.FlowShift, Scheduler: c.Scheduler, Seed: c.Seed, DType: c.DType, Format: c.Format,
		Window: c.Window, Overlap: c.Overlap, Schedule: job.Schedule(c.Schedule), Long: job.Long(c.Long),
	}
	if c.Prompt != nil {
		r.Prompt = *c.Prompt
	}
	if c.Shards != nil {
		r.Shards = *c.Shards
	}
	if c.Threads != nil {
		r.Threads = *c.Threads
	}
	if c.Priority != nil {
		r.Priority = *c.Priority
	}
	if c.Mesh != "" {
		mesh, err := partition.ParseMesh(c.Mesh)
		if err != nil {
			return r, invalid("mesh", "%v", err)
		}
		r.Mesh = job.Mesh(mesh)
	}
	if err := c.setSize(&r); err != nil {
		return r, err
	}
	return r, c.setSeconds(&r, m)
}

func (c Create) setSize(r *job.Request) error {
	if c.Size == "" {
		return nil
	}
	if c.Width != nil || c.Height != nil {
		return invalid("size", "size and width or height are given; allowed: one way to say it")
	}
	a, b, ok := strings.Cut(c.Size, "x")
	w, err := strconv.Atoi(a)
	h, err2 := strconv.Atoi(b)
	if !ok || err != nil || err2 != nil {
		return &job.FieldError{Field: "size", Value: fmt.Sprintf("%.64q", c.Size),
			Allowed: "WIDTHxHEIGHT in pixels, such as 832x480"}
	}
	r.Width, r.Height = &w, &h
	return nil
}

// setSeconds picks the number of frames of a duration: the first one, and those that follow.
func (c Create) setSeconds(r *job.Request, m job.Model) error {
	if c.Seconds == nil {
		return nil
	}
	if c.Frames != nil {
		return invalid("seconds", "seconds and num_frames are given; allowed: one of them")
	}
	fps := m.Defaults.FPS
	if c.FPS != nil {
		fps = *c.FPS
	}
	if s := *c.Seconds; !(s > 0 && s <= float64(job.FramesLimit)) {
		return &job.FieldError{Field: "seconds", Value: fmt.Sprint(s), Allowed: "above 0"}
	}
	n := int(math.Round(*c.Seconds*float64(fps))) + 1
	if n > job.FramesLimit {
		return &job.FieldError{Field: "seconds", Value: fmt.Sprint(*c.Seconds),
			Allowed: fmt.Sprintf("up to %d frames", job.FramesLimit)}
	}
	r.Frames = &n
	return nil
}
