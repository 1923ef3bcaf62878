package job

// Request is what a client asks for; nil and empty fields take the model's defaults.
type Request struct {
	Model          string   `json:"model,omitempty"` // empty or the served model's name
	Prompt         string   `json:"prompt"`
	NegativePrompt string   `json:"negative_prompt,omitempty"`
	Scenes         []Scene  `json:"storyboard,omitempty"`
	Width          *int     `json:"width,omitempty"`
	Height         *int     `json:"height,omitempty"`
	Frames         *int     `json:"num_frames,omitempty"`
	FPS            *Rate    `json:"fps,omitempty"`
	Steps          *int     `json:"num_inference_steps,omitempty"`
	GuidanceScale  *float64 `json:"guidance_scale,omitempty"`
	FlowShift      *float64 `json:"flow_shift,omitempty"`
	Scheduler      string   `json:"scheduler,omitempty"`
	Seed           *uint64  `json:"seed,omitempty"` // nil: the coordinator draws one
	DType          string   `json:"dtype,omitempty"`
	Format         string   `json:"format,omitempty"`
	Shards         int      `json:"shards,omitempty"`  // 0: as many as pay
	Mesh           Mesh     `json:"mesh,omitzero"`     // zero: the planner's choice
	Threads        int      `json:"threads,omitempty"` // per shard; 0: the shard's own setting
	Priority       int      `json:"priority,omitempty"`
	Window         *int     `json:"window,omitempty"` // latent frames; 0: the clip as a whole
	Overlap        *int     `json:"overlap,omitempty"`
	Schedule       Schedule `json:"window_schedule,omitempty"`
	Long           Long     `json:"long,omitempty"` // empty: windows, or extend after a start
	Start          Start    `json:"start,omitzero"`

	RemixOf ID `json:"remixed_from,omitempty"` // the video whose request was changed

	// What the client said where the spec has what it came to; they are told again.
	ModelAsked   string   `json:"model_asked,omitempty"`   // an alias; empty: Model
	SecondsAsked string   `json:"seconds_asked,omitempty"` // the text of a duration
	Notes        []string `json:"notes,omitempty"`         // notices on what was left out

	// Force takes what is far beyond the model's sizes, or predicted to take longer than allowed.
	Force bool `json:"force,omitempty"`

	// Key makes a repeated create return the first one's job; empty: no such check.
	Key string `json:"key,omitempty"`
}
