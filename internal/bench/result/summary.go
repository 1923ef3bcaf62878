package result

// Estimate is a figure with the 95 % interval that a bootstrap over the requests gives it.
type Estimate struct {
	// Value is of the samples as they are. It need not be in the middle of the interval.
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`

	// Few marks a figure that this many samples do not bound: see Needed for percentiles.
	Few bool `json:"few_samples,omitzero"`
}

// Distribution is of one time over the requests, in seconds.
type Distribution struct {
	// N is how many samples there were: clips, or those of them that told this time. Percentiles are
	// of the nearest rank, so P99 is Max where there are fewer than 100.
	N    int      `json:"n"`
	Mean Estimate `json:"mean"`
	Min  float64  `json:"min"`
	Max  float64  `json:"max"`
	P50  Estimate `json:"p50"`
	P90  Estimate `json:"p90"`
	P99  Estimate `json:"p99"`
}

// Summary is of the requests in PhaseMeasure. What could not be measured is absent.
type Summary struct {
	// Completed and Failed add up to Requests.
	Requests  int `json:"requests"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`

	// Errors counts failures by their class.
	Errors map[string]int `json:"errors,omitempty"`

	// Seconds is from the first request sent to the last clip complete; rates go by it.
	Seconds float64 `json:"seconds"`

	// Times are of the clips that were made.
	Latency       Distribution            `json:"latency_seconds"`
	Queue         *Distribution           `json:"queue_seconds,omitempty"`
	Stages        map[string]Distribution `json:"stage_seconds,omitempty"`
	FirstPreview  *Distribution           `json:"first_preview_seconds,omitempty"`
	FirstPlayable *Distribution           `json:"first_playable_seconds,omitempty"`

	Throughput Throughput `json:"throughput"`

	// Goodput is under the scenario's objective; absent without one.
	Goodput *Goodput `json:"goodput,omitempty"`

	// DeviceSeconds are those of all clips for one second of video.
	DeviceSeconds *Estimate `json:"device_seconds_per_video_second,omitempty"`

	MFU           *MFU           `json:"mfu,omitempty"`
	Communication *Communication `json:"communication,omitempty"`
	Stragglers    *Stragglers    `json:"stragglers,omitempty"`
	Energy        *Energy        `json:"energy,omitempty"`

	// PeakMemory is of the rank that needed most of all.
	PeakMemory int64 `json:"peak_memory_bytes,omitzero"`
}

// Throughput is what was made in an hour. Figures of which not every clip told are absent.
type Throughput struct {
	Clips        float64 `json:"clips_per_hour"`
	Frames       float64 `json:"frames_per_hour,omitzero"`
	Tokens       float64 `json:"latent_tokens_per_hour,omitzero"`
	VideoSeconds float64 `json:"video_seconds_per_hour,omitzero"`
}

// Goodput is what was made in time. A failed request is not in time.
type Goodput struct {
	// ObjectiveSeconds is the latency within which a clip counts.
	ObjectiveSeconds float64 `json:"objective_seconds"`
	Clips            float64 `json:"clips_per_hour"`

	// Met is the share of the requests that were in time, from 0 to 1.
	Met Estimate `json:"met"`
}

// MFU is the share of the devices' peak that went into the model's own operations.
type MFU struct {
	// Value is from 0 to 1, by Formula: tools count it in more than one way.
	Value   float64 `json:"value"`
	Formula string  `json:"formula"`

	// Operations are the multiply-adds of all clips that tell, DeviceSeconds what these clips took,
	// Peak a device's multiply-adds a second, and PeakSource where that is from.
	Operations    float64 `json:"operations"`
	DeviceSeconds float64 `json:"device_seconds"`
	Peak          float64 `json:"peak_per_second"`
	PeakSource    string  `json:"peak_source"`
}

// Communication is what ranks exchange.
type Communication struct {
	// Bytes that a rank sends for a clip: the mean over ranks and clips, and the most.
	BytesPerRank    float64 `json:"bytes_per_rank"`
	BytesPerRankMax float64 `json:"bytes_per_rank_max"`

	// StepShare is the part of the steps' time in which a rank waits for others, from 0 to 1: the
	// mean over ranks and clips; StepShareMax is that of the clip that waited most.
	StepShare    *float64 `json:"step_share,omitempty"`
	StepShareMax *float64 `json:"step_share_max,omitempty"`
}

// Stragglers are steps, and ranks, that took longer than others of the same clip.
type Stragglers struct {
	// The slowest step to the median step: of the median clip, and of the worst.
	Median float64 `json:"median_ratio"`
	Worst  float64 `json:"worst_ratio"`

	// Clips are those with a step of more than twice the median.
	Clips int `json:"clips"`

	// The slowest rank's computing to the median rank's: of the median clip, and of the worst. Nodes
	// are who was the slowest, the most often first.
	RankMedian float64    `json:"rank_median_ratio,omitzero"`
	RankWorst  float64    `json:"rank_worst_ratio,omitzero"`
	Nodes      []SlowNode `json:"nodes,omitempty"`
}

// Energy is of the clips whose energy the server could read.
type Energy struct {
	// Clips is how many told theirs, and Joules their sum. PerVideoSecond goes by the same clips.
	Clips          int     `json:"clips"`
	Joules         float64 `json:"joules"`
	PerVideoSecond float64 `json:"joules_per_video_second,omitzero"`
}

// Verdicts of a rate, in Rate.Verdict.
const (
	Keeps     = "keeps up"  // the server does what is offered
	Saturated = "saturated" // the queue grows as long as the load goes on
	Unclear   = "unclear"   // too few requests to tell
)

// Rate is a point of a sweep over arrival rates.
type Rate struct {
	// Offered is in requests a second, as planned; Achieved is clips a second.
	Offered  float64 `json:"offered_per_second"`
	Achieved float64 `json:"achieved_per_second"`

	Requests  int     `json:"requests"`
	Completed int     `json:"completed"`
	Seconds   float64 `json:"seconds"`

	Latency Distribution  `json:"latency_seconds"`
	Queue   *Distribution `json:"queue_seconds,omitempty"`
	Goodput *Goodput      `json:"goodput,omitempty"`

	// Verdict is one of the verdicts, and Why what it went by.
	Verdict string `json:"verdict"`
	Why     string `json:"why,omitempty"`
}
