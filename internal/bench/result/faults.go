package result

// Faults are what was done to the servers while they worked, and what that cost. The requests of
// the run under faults are in PhaseMeasure, those before in PhaseUndisturbed.
type Faults struct {
	// Seed decided when what was done.
	Seed   uint64  `json:"seed"`
	Events []Fault `json:"events"`

	// Recovery is of the faults that were recovered from.
	Recovery *Distribution `json:"recovery_seconds,omitempty"`

	// Under and Undisturbed are the same load with and without the faults.
	Under       Load `json:"under"`
	Undisturbed Load `json:"undisturbed"`
}

// Fault is something that was done to a server. Planned and At are seconds since Result.Started.
type Fault struct {
	Kind    string  `json:"kind"` // kill, and whatever else a plan may say
	Target  string  `json:"target"`
	Planned float64 `json:"planned_seconds"`
	At      float64 `json:"at_seconds"`

	// Hit lists the requests that lost an attempt by it, by their index.
	Hit []int `json:"hit,omitempty"`

	// Recovery is from the fault until all work that it hit was going on again; absent if it hit none,
	// or if that never happened.
	Recovery *float64 `json:"recovery_seconds,omitempty"`
}

// Load is what became of the requests of a phase.
type Load struct {
	Requests  int     `json:"requests"`
	Completed int     `json:"completed"`
	Seconds   float64 `json:"seconds"`

	Latency    Distribution `json:"latency_seconds"`
	Throughput Throughput   `json:"throughput"`
	Goodput    *Goodput     `json:"goodput,omitempty"`
}
