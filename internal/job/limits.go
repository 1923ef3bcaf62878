package job

// Limits of a request. They hold whatever the model: what is stored and replicated has to stay
// small, and what is computed finite. A model's own limits are tighter.
const (
	PromptLimit  = 32768 // bytes
	SizeLimit    = 4096  // pixels of width or height
	FramesLimit  = 1 << 20
	StepsLimit   = 1000
	FPSLimit     = 120
	ShardsLimit  = NodesLimit
	ThreadsLimit = 1024
	KeyLimit     = 256 // bytes
	OwnerLimit   = 128 // bytes of an owner's ID or a team's name
	// ClipTokensLimit bounds what a latent takes on disk: 10 minutes of 1080p have 20 million.
	ClipTokensLimit = 1 << 25

	PriorityLimit = 100  // of its absolute value
	NotesLimit    = 16   // notices on what was left out of a request
	NoteLimit     = 1024 // bytes of one

	scaleLimit = 100.0 // of guidance_scale and flow_shift
)
