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
	// Kind is what was done, such as kill, and Target to which process.
	Kind    string  `json:"kind"`
	Target  string  `json:"target"`
	Planned float64 `json:"planned_seconds"`
	At      float64 `json:"at_seconds"`

	// Hit lists the requests that lost an attempt by it, by their index.
	Hit []int `json:"hit,omitempty"`

	// Recovery is from the fault until all work that it hit was going on again; absent if it hit
	// none, or if that never happened.
	Recovery *float64 `json:"recovery_seconds,omitempty"`

	// Redone are the steps that were done already and had to be made again, of all clips that it hit.
	Redone int `json:"redone_steps,omitzero"`
}

// Load is what became of the requests of a phase.
type Load struct {
	// Seconds is from the first request sent to the last clip complete; rates go by it.
	Requests  int     `json:"requests"`
	Completed int     `json:"completed"`
	Seconds   float64 `json:"seconds"`

	Latency    Distribution `json:"latency_seconds"`
	Throughput Throughput   `json:"throughput"`
	Goodput    *Goodput     `json:"goodput,omitempty"`
}

// summarize fills the sums. Both phases are of one run: what is compared with the time under faults
// is the same servers on the same machine, shortly before.
func (f *Faults) summarize(under, undisturbed []Request, objective float64, seed uint64) {
	f.Under, f.Undisturbed = load(under, objective, seed), load(undisturbed, objective, seed)
	var times []float64
	for _, e := range f.Events {
		if e.Recovery != nil {
			times = append(times, *e.Recovery)
		}
	}

	f.Recovery = nil
	if times != nil {
		f.Recovery = new(distribution(times, seed))
	}
}

// Kept returns the goodput under faults as a share of the undisturbed run's; the throughput's where
// there is no objective. 0 where there is no undisturbed run.
func (f *Faults) Kept() float64 {
	under, undisturbed := f.Under.Throughput.Clips, f.Undisturbed.Throughput.Clips
	if f.Under.Goodput != nil && f.Undisturbed.Goodput != nil {
		under, undisturbed = f.Under.Goodput.Clips, f.Undisturbed.Goodput.Clips
	}
	if undisturbed == 0 {
		return 0
	}
	return under / undisturbed
}
