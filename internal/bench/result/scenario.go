package result

// Names of scenarios.
const (
	SingleStream = "single-stream" // one request at a time
	Offline      = "offline"       // all requests at once
	Server       = "server"        // Poisson arrivals, at one rate or a sweep of rates
	Mixed        = "mixed"         // arrivals, sizes and models of a trace
	Soak         = "soak"          // a load for a long time
)

// Scenario is what was asked for: with the dataset and the seeds, every request follows from it.
type Scenario struct {
	// Name is one of the scenarios.
	Name string `json:"name"`

	// Seed decides arrivals, the order of prompts, and the requests' own seeds.
	Seed uint64 `json:"seed"`

	// Arrivals says when requests are sent: "closed" (the next one when one is done), "at-once",
	// "poisson" or "trace".
	Arrivals string `json:"arrivals"`

	// Rates are the arrival rates that were asked for, in requests a second.
	Rates []float64 `json:"rates_per_second,omitempty"`

	// Concurrency is how many requests are out at a time at most; 0 for no limit.
	Concurrency int `json:"concurrency,omitzero"`

	// Requests are counted without warm-up, in all rounds or for each rate; 0 where Seconds decides.
	Requests int     `json:"requests,omitzero"`
	Seconds  float64 `json:"seconds,omitzero"`
	Warmup   int     `json:"warmup_requests,omitzero"`
	Rounds   int     `json:"rounds,omitzero"`

	// TimeoutSeconds is when a request is given up.
	TimeoutSeconds float64 `json:"timeout_seconds,omitzero"`

	// ObjectiveSeconds is the latency within which a clip counts as goodput; 0 without one.
	ObjectiveSeconds float64 `json:"objective_seconds,omitzero"`

	// Clip is what each request asks for, unless a trace says otherwise.
	Clip Clip `json:"clip"`

	// Trace is the file of a mixed load.
	Trace *Trace `json:"trace,omitempty"`

	// Faults is what the user asked to be done to the servers, such as "kill=2/h".
	Faults string `json:"faults,omitempty"`

	// Parameters are those that only some scenarios have, by the names of their flags.
	Parameters map[string]string `json:"parameters,omitempty"`
}

// Clip is what a request asks for. A field of 0 was left to the server.
type Clip struct {
	// Pixels, frames and frames a second of the clip, and how often it is denoised.
	Width  int `json:"width,omitzero"`
	Height int `json:"height,omitzero"`
	Frames int `json:"frames,omitzero"`
	FPS    int `json:"fps,omitzero"`
	Steps  int `json:"steps,omitzero"`

	// Guidance2 is for the second of two transformers that share the noise levels.
	Guidance  *float64 `json:"guidance_scale,omitempty"`
	Guidance2 *float64 `json:"guidance_scale_2,omitempty"`
	Negative  string   `json:"negative_prompt,omitempty"`
}

// Trace is a file of arrivals, sizes and models.
type Trace struct {
	// Name is the file's, SHA256 that of its bytes.
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// Cohort is on what a run was measured. Figures of different cohorts say nothing of each other,
// except about what makes them differ.
type Cohort struct {
	// Dialect is the API that was spoken: longtake, videos, generations, dynamo.
	Dialect string `json:"dialect"`

	// Product and Version are the server's, as far as it tells.
	Product string `json:"product"`
	Version string `json:"version,omitempty"`

	// Model is the one that was asked for in all requests but those that name another. DType is of the
	// weights and activations, Transport of what ranks exchange.
	Model     string   `json:"model"`
	Devices   []Device `json:"devices,omitempty"`
	DType     string   `json:"dtype,omitempty"`
	Transport string   `json:"transport,omitempty"`

	// Mesh is the only one in which clips were made, or the one that was asked for.
	Mesh string `json:"mesh,omitempty"`

	// Details are more of what the server tells of itself.
	Details map[string]string `json:"details,omitempty"`

	// Host is the machine of the load generator, and of the servers where Embedded.
	Host     Host `json:"host"`
	Embedded bool `json:"embedded,omitzero"`
}

// Device is a kind of processor that clips are made on.
type Device struct {
	// Kind is the product's name, and Count how many of them the servers have.
	Kind  string `json:"kind"`
	Count int    `json:"count"`

	// Peak is what one of them does at most in this run's dtype, in multiply-adds a second, and
	// PeakSource where that is from: measured, or a data sheet. MFU goes by it.
	Peak       float64 `json:"peak_per_second,omitzero"`
	PeakSource string  `json:"peak_source,omitempty"`
}

// Host is a machine.
type Host struct {
	// CPU is the processor's name, Cores how many of them programs see, Go the version that the
	// program was built with. The machine's own name is left out: results are shown to others.
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes,omitzero"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"`
	Go     string `json:"go"`
}
