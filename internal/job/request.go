package job

import "github.com/longtake/longtake/internal/access"

// Request is what a client asks for. What it leaves out, nil or empty, takes the model's defaults.
// Fields lists what of it has a name in the API.
type Request struct {
	Model          string
	Prompt         string
	NegativePrompt string
	Scenes         []Scene
	Size           string   // WxH, in place of Width and Height: see Settle
	Width          *int     // pixels
	Height         *int     // pixels
	Seconds        *float64 // a duration, in place of Frames: see Settle
	Frames         *int
	FPS            *Rate
	Steps          *int
	GuidanceScale  *float64
	GuidanceScale2 *float64 // of the second expert's steps
	FlowShift      *float64
	LoRAs          []LoRA
	Preset         string
	Sigmas         []float64 // noise levels of the steps
	Timesteps      []float64 // what the model is told at each
	Scheduler      string
	Seed           *uint64 // nil: the coordinator draws one
	DType          string
	Format         string
	VideoQuality   int  // of 100; 0: the format's own
	Shards         int  // 0: as many as pay
	Mesh           Mesh // zero: the planner's choice
	Threads        int  // per shard; 0: the shard's own setting
	Priority       int
	Window         *int // latent frames; 0: the clip as a whole
	Overlap        *int
	Schedule       Schedule
	Long           Long // empty: windows, or extend after a start

	Strength          *float64 // of an edit
	ConditioningScale *float64 // of what controls the clip

	SparseAttention string   // see sparse.Parse
	StepCache       *float64 // 0: off

	// Force takes what is far beyond the model's sizes, or predicted to take longer than allowed.
	Force bool

	// Inputs are what the clip is made from besides words, once it is stored. Clients send files:
	// see Role.Field.
	Inputs []Input
	// RemixOf is the video whose request was changed.
	RemixOf ID

	// What the client said where the spec has what it came to; they are told again: an alias of the
	// model (empty: Model), the text of a duration, and notices on what was left out.
	ModelAsked   string
	SecondsAsked string
	Notes        []string

	// Key makes a repeated create of the same owner return the first one's job; empty: no such check.
	Key string
	// Owner is who asks, and Team the team that this is for. Clients do not say so themselves: it
	// follows from who they are.
	Owner, Team string
	// Admin says that the owner may use what is not rolled out to all yet.
	Admin bool
	// Quota is what the owner may have.
	Quota access.Quota

	said map[string]bool // names of fields that Set has stored, also as their type's zero
}
