package target

import (
	"context"
	"io"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
)

// Target is a server that is measured. Its methods may be called by many goroutines.
type Target interface {
	// Describe says what the server is and what it computes on: the cohort, of which results may be
	// compared with each other.
	Describe(ctx context.Context) (Server, error)
	// Make has one clip made, and returns when it is complete and, if Options.Content says so, was
	// read. watch, which may be nil, is called with what the server tells meanwhile, by this
	// goroutine. An error is a *Failure; the outcome then has what was known when it came. If ctx
	// ends, the request is cancelled on the server, as far as it has a way to.
	Make(ctx context.Context, r Request, watch Watch) (Outcome, error)
	// Close gives the connections up.
	Close() error
}

// Request is one clip. What is zero is left out: the server's default.
type Request struct {
	Prompt, Negative, Model string
	Width, Height           int // pixels; both or none
	Frames                  int
	FPS                     int
	Steps                   int
	Guidance, Guidance2     *float64 // of models with two transformers: the second one's
	Seed                    uint64
	Priority                int // higher goes first; servers without priorities do not see it
	// Extra has further fields by the names that the server has for them.
	Extra map[string]any
	// Into, where set, gets the clip's file, where Options.Content has it read.
	Into io.Writer `json:"-"`
}

// What only some servers can do is an interface of its own, so that the others need not pretend.

// Fetcher is implemented by targets whose clips can be had again once they are made.
type Fetcher interface {
	// Fetch writes the file of a clip, by Outcome.ID, to a writer.
	Fetch(ctx context.Context, id string, to io.Writer) error
}

// Outcome is what became of a request. Zero is what the server does not tell.
type Outcome struct {
	ID   string
	Sent time.Time
	// Latency is from Sent until the clip was complete, without its download. Resolution is how much
	// less it may have been: what lies between two polls, or the way of an answer.
	Latency, Resolution time.Duration
	// FirstPreview and FirstPlayable are from Sent until there was something to look at, and a second
	// of the clip to play; of a server that shows nothing before the end, the second is Latency.
	FirstPreview, FirstPlayable time.Duration
	// Queue is how long the clip waited for its start. Stages are by name: load, text, denoise,
	// decode, encode.
	Queue  time.Duration
	Stages map[string]time.Duration

	// Frames to FPS are of the file, where it was read, or else as the server says.
	Frames, Width, Height, FPS, Steps int
	Tokens                            int // of the latent
	// Attempts is how often the clip was begun, 1 where nothing was lost. DeviceSeconds and Joules
	// are of all ranks and all attempts.
	Ranks, Attempts       int
	DeviceSeconds, Joules float64
	BytesSent             uint64 // between ranks, all of them
	// PerRank says how ranks differ; nil: the server does not tell.
	PerRank    *PerRank
	PeakMemory int64 // bytes, of the rank with the most
	// StepSeconds is the median denoising step, SlowestStep the longest one; of all ranks, which wait
	// for each other.
	StepSeconds, SlowestStep float64
	Mesh                     string
	// LatentsSHA256 is of the latent's raw values: equal on any mesh. ContentSHA256 and ContentBytes
	// are of the file, where it was read.
	LatentsSHA256, ContentSHA256 string
	ContentBytes                 int64
	Operations                   float64 // multiply-adds, for the share of the peak

	// Retries counts requests that were sent again, Polls the questions after the state.
	Retries, Polls int
}

// PerRank is what ranks of a clip did in its steps, with three values for all of them. The names
// are those of longtake's API, the only one that tells.
type PerRank = schema.Ranks

// Device is so many accelerators, or machines, of one kind.
type Device struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

// Server is what a target is: results of two are compared only where these agree, but for
// Details. What a server does not tell is empty, and may be given to the load generator by hand.
type Server struct {
	Dialect   string
	Product   string // such as "longtake", "vllm-omni"
	Version   string
	Model     string // the one that requests get which name none
	Devices   []Device
	Dtype     string // of the products, such as "bf16"
	Transport string // of what ranks exchange
	Mesh      string // where all clips have the same
	// Details are for people: they are kept with results, and not compared.
	Details map[string]string
}

// Progress is what a server tells of a clip that is being made.
type Progress struct {
	ID    string
	State string  // queued, in_progress, completed, failed, as OpenAI says it
	Stage string  // as in Outcome.Stages; "": it does not say
	Part  float64 // of the whole clip, 0 to 1
	Queue int     // clips before this one
}

// Watch is told of progress.
type Watch func(Progress)

// tell calls a watch, if there is one.
func (w Watch) tell(p Progress) {
	if w != nil {
		w(p)
	}
}
