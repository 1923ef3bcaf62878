package api

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

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
	// Force takes what is far beyond the model's sizes, or predicted to take longer than allowed.
	Force *bool `json:"force,omitempty"`

	secondsText string   // Seconds as they were sent
	alias       string   // what Model was called
	notes       []string // notices on what was left out
}

// prompted wants something to show.
func (c *Create) prompted() error {
	if c.Prompt != nil || c.Storyboard != nil {
		return nil
	}
	return invalid("prompt", "prompt is missing; allowed: a text, which may be empty, "+
		"or a storyboard")
}

// Request turns c into what the coordinator takes; m fills in what Seconds depends on.
func (c Create) Request(m job.Model) (job.Request, error) {
	r := job.Request{
		Model: c.Model, NegativePrompt: c.NegativePrompt, Scenes: c.Storyboard,
		Width: c.Width, Height: c.Height,
		Frames: c.Frames, FPS: c.FPS, Steps: c.Steps, GuidanceScale: c.GuidanceScale,
		FlowShift: c.FlowShift, Scheduler: c.Scheduler, Seed: c.Seed, DType: c.DType, Format: c.Format,
		Window: c.Window, Overlap: c.Overlap, Schedule: job.Schedule(c.Schedule), Long: job.Long(c.Long),
		ModelAsked: c.alias, Notes: c.notes,
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
	r.Force = c.Force != nil && *c.Force
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

// timesSigns are what people write between a width and a height.
const timesSigns = "xX*×"

func (c Create) setSize(r *job.Request) error {
	if c.Size == "" {
		return nil
	}
	wrong := &job.FieldError{Field: "size", Value: fmt.Sprintf("%.64q", c.Size),
		Allowed: "WIDTHxHEIGHT in pixels, such as 832x480"}
	i := strings.IndexAny(c.Size, timesSigns)
	if i < 0 {
		return wrong
	}
	w, err := job.ParseInt(c.Size[:i])
	h, err2 := job.ParseInt(strings.TrimLeft(c.Size[i:], timesSigns))
	if err != nil || err2 != nil {
		return wrong
	}
	if c.Width != nil && *c.Width != w || c.Height != nil && *c.Height != h {
		return invalid("size", "size is %.64q, and width or height say otherwise; allowed: one way to "+
			"say it", c.Size)
	}
	r.Width, r.Height = &w, &h
	return nil
}

// setSeconds picks the number of frames of a duration: the first one, and those that follow. A rate
// that is not allowed is for Resolve to refuse.
func (c Create) setSeconds(r *job.Request, m job.Model) error {
	if c.Seconds == nil {
		return nil
	}
	r.SecondsAsked = cmp.Or(c.secondsText, strconv.FormatFloat(*c.Seconds, 'f', -1, 64))
	fps := m.Defaults.FPS
	if c.FPS != nil {
		fps = *c.FPS
	}
	if !(fps > 0 && fps <= job.FPSLimit) {
		return nil
	}
	frames := *c.Seconds * float64(fps)
	if !(frames > 0 && math.Round(frames) < job.FramesLimit) {
		return &job.FieldError{Field: "seconds", Value: r.SecondsAsked,
			Allowed: fmt.Sprintf("above 0, and up to %d frames", job.FramesLimit)}
	}
	n := int(math.Round(frames)) + 1
	if c.Frames != nil {
		if math.Abs(float64(*c.Frames)-frames) > 1 {
			return invalid("seconds", "seconds is %s, which are %d frames, and num_frames is %d; "+
				"allowed: one of them, or both alike", r.SecondsAsked, n, *c.Frames)
		}
		n = *c.Frames
	}
	r.Frames = &n
	return nil
}
