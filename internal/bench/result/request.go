package result

// Phases of a run. Only requests of PhaseMeasure are summed up in Summary.
const (
	PhaseMeasure     = "measure"
	PhaseWarmup      = "warmup"
	PhaseUndisturbed = "undisturbed" // of a run with faults, before the first of them
)

// Stages of a clip, as keys of Request.Stages and Summary.Stages.
const (
	StageText    = "text"
	StageDenoise = "denoise"
	StageDecode  = "decode"
	StageEncode  = "encode"
)

// stages are in the order in which a clip passes them.
var stages = []string{StageText, StageDenoise, StageDecode, StageEncode}

// Request is what became of one request. Times named planned and sent are seconds since
// Result.Started; others are durations.
type Request struct {
	// Index is the request's place in the plan, from 0 on; other parts of a result refer to it.
	Index int `json:"index"`

	// Phase is one of the phases. Round counts from 0 where a run is made of rounds; Point is the
	// index in Result.Rates in a sweep.
	Phase string `json:"phase"`
	Round int    `json:"round,omitzero"`
	Point int    `json:"point,omitzero"`

	// What was asked for: the prompt by its index in the dataset, and the rest as sent.
	Prompt   int    `json:"prompt"`
	Seed     uint64 `json:"seed"`
	Model    string `json:"model,omitempty"`
	Priority int    `json:"priority,omitzero"`

	// The clip that was made, or that was asked for if none was; 0 where not known.
	Width  int `json:"width,omitzero"`
	Height int `json:"height,omitzero"`
	Frames int `json:"frames,omitzero"`
	FPS    int `json:"fps,omitzero"`
	Steps  int `json:"steps,omitzero"`

	// Tokens are the clip's latent tokens, Operations the multiply-adds that it takes in all.
	Tokens     int     `json:"latent_tokens,omitzero"`
	Operations float64 `json:"operations,omitzero"`

	// Arrival as planned, and when the request left. They differ where the load generator was late.
	Planned float64 `json:"planned_seconds"`
	Sent    float64 `json:"sent_seconds"`

	// Latency is from Planned until the clip was complete, without its download; 0 if it never was. A
	// request that is late because of the load generator has waited all the same.
	Latency float64 `json:"latency_seconds,omitzero"`

	// Resolution is how much less the latency may have been, where the server is asked now and then
	// whether it is done.
	Resolution float64 `json:"latency_resolution_seconds,omitzero"`

	// Queue is how long the request waited for devices, Stages how long each stage took.
	Queue  *float64           `json:"queue_seconds,omitempty"`
	Stages map[string]float64 `json:"stage_seconds,omitempty"`

	// Until there was a preview, and until the first second of the clip could be played.
	FirstPreview  float64 `json:"first_preview_seconds,omitzero"`
	FirstPlayable float64 `json:"first_playable_seconds,omitzero"`

	// How it was made: the server's id of the job, how often a request was sent again, how often the
	// clip was begun, and on how many ranks the last attempt ran.
	ID       string `json:"id,omitempty"`
	Retries  int    `json:"retries,omitzero"`
	Attempts int    `json:"attempts,omitzero"`
	Ranks    int    `json:"ranks,omitzero"`
	Mesh     string `json:"mesh,omitempty"`

	// What it took. BytesSent is of all ranks together, PeakMemory of the rank that needed most.
	DeviceSeconds float64  `json:"device_seconds,omitzero"`
	Joules        *float64 `json:"energy_joules,omitempty"`
	BytesSent     *uint64  `json:"sent_bytes,omitempty"`
	PeakMemory    int64    `json:"peak_memory_bytes,omitzero"`

	// PerRank says how the ranks of the last attempt differed; absent of a single rank.
	PerRank *PerRank `json:"per_rank,omitempty"`

	// StepSeconds is the median step, SlowestStep the slowest.
	StepSeconds float64 `json:"step_seconds,omitzero"`
	SlowestStep float64 `json:"slowest_step_seconds,omitzero"`

	// What was made. Latents are compared between servers, as the same latents may be written into
	// different files.
	LatentsSHA256 string `json:"latents_sha256,omitempty"`
	ContentSHA256 string `json:"content_sha256,omitempty"`
	ContentBytes  int64  `json:"content_bytes,omitzero"`

	// Failure is why there is no clip; absent if there is one.
	Failure *Failure `json:"failure,omitempty"`
}

// Classes of failures.
const (
	FailRefused     = "rejected"    // the server would not take the request as it is
	FailBusy        = "refused"     // the server had no room for it at the time
	FailServer      = "failed"      // the server failed to make the clip
	FailNetwork     = "unreachable" // there was no answer
	FailTimeout     = "late"        // it took longer than the scenario allows
	FailWrong       = "wrong"       // the clip is not what was asked for
	FailInterrupted = "cancelled"   // the run was stopped
)

// Failure is why a request has no clip.
type Failure struct {
	// Class is one of the classes, by which failures are counted; Message is for people.
	Class   string `json:"class"`
	Message string `json:"message,omitempty"`
}

// VideoSeconds returns how long the clip plays; 0 if that is not known.
func (r Request) VideoSeconds() float64 {
	if r.FPS == 0 {
		return 0
	}
	return float64(r.Frames) / float64(r.FPS)
}

// Done returns when the clip was complete, in seconds since the run's start.
func (r Request) Done() float64 { return r.Planned + r.Latency }

// OK reports whether there is a clip.
func (r Request) OK() bool { return r.Failure == nil && r.Latency > 0 }
