package schema

import (
	"github.com/longtake/longtake/internal/price"
)

// Estimate answers POST /v1/videos/estimate: what a request would take if it became a video now.
type Estimate struct {
	Object string `json:"object"` // "estimate"
	Model  string `json:"model"`
	Size   string `json:"size"`
	Frames int    `json:"num_frames"`

	// What it would take on shards with nothing else to do; absent where the speed of the shards, or
	// the model's cost, is not known. DeviceSeconds is the sum over shards, ComputeSeconds the time
	// from the start to the file, without what it waits for.
	DeviceSeconds  float64 `json:"device_seconds,omitempty"`
	ComputeSeconds float64 `json:"compute_seconds,omitempty"`
	// Error is the standard error, as a part of the device-seconds; the range is of two of these to
	// both sides. Samples is how many completed videos it goes by; 0: rated speeds alone.
	Error   float64    `json:"error,omitempty"`
	Range   [2]float64 `json:"device_seconds_range,omitzero"`
	Samples int        `json:"samples"`

	// Where it would run, if no other job was there: the arrangement, names of shards by rank and
	// their kinds of devices; and the bytes that the shard with the most needs.
	Mesh    string   `json:"mesh"`
	Shards  []string `json:"shards"`
	Devices []string `json:"devices"`
	Memory  int64    `json:"memory_bytes"`

	// Waiting is why it would not start at once, absent if it would; Ahead how many jobs go first.
	Waiting string `json:"waiting,omitempty"`
	Ahead   int    `json:"jobs_ahead"`

	Cost *EstimatedCost `json:"cost,omitempty"` // where there is a price sheet
}

// EstimatedCost is what a video would cost by the coordinator's price sheet, and at the ends of the
// range of its device-seconds.
type EstimatedCost struct {
	Amount   price.Micro `json:"amount"`
	Low      price.Micro `json:"low"`
	High     price.Micro `json:"high"`
	Currency string      `json:"currency"`
	Plan     string      `json:"plan,omitempty"`
	Sheet    string      `json:"sheet"`
}

// Expected is the estimate that a video was created with, and how far from it the video was.
type Expected struct {
	DeviceSeconds  float64 `json:"device_seconds"`
	ComputeSeconds float64 `json:"compute_seconds"`
	Error          float64 `json:"error"`
	Samples        int     `json:"samples"`
	// Once the video has completed: what it took, and by which part of that the estimate was too high
	// (below 0: too low). They are of the attempt that completed it.
	Took       float64 `json:"took_device_seconds,omitempty"`
	TookWhole  float64 `json:"took_seconds,omitempty"`
	Off        float64 `json:"device_seconds_off,omitempty"`
	ComputeOff float64 `json:"compute_seconds_off,omitempty"`
}
