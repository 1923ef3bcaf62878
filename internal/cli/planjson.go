package cli

import (
	"io"

	"github.com/longtake/longtake/internal/advise"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/terminal"
)

// planLine is one mesh, as --json prints it. Names of fields stay: programs read them. What is new
// gets fields of its own.
type planLine struct {
	Pool string `json:"pool"`
	Mesh string `json:"mesh"`
	// Ranks are the devices of the mesh.
	Ranks int `json:"ranks"`
	// What all ranks together send in a step, and how much of that is where windows overlap.
	BytesPerStep int64 `json:"bytes_per_step"`
	SeamBytes    int64 `json:"seam_bytes_per_step"`
	// BytesInside and BytesBetween are what of it stays inside hosts, and what does not.
	BytesInside  int64 `json:"bytes_inside_per_step"`
	BytesBetween int64 `json:"bytes_between_per_step"`
	// Passes through the model that the busiest rank makes in a step, one after the other.
	Passes int `json:"passes_per_step"`
	// How tokens and attention heads are shared by the ranks of one group. They need not divide.
	Tokens []int `json:"tokens"`
	Heads  []int `json:"heads"`
	// What the shard with the most needs, in bytes; as a whole, and what that is made of; what the
	// device with the least has (0: not known), and whether the clip fits.
	Memory       int64 `json:"memory"`
	WeightBytes  int64 `json:"weight_bytes"`
	DenoiseBytes int64 `json:"denoise_bytes"`
	DecodeBytes  int64 `json:"decode_bytes"`
	Has          int64 `json:"device_memory,omitempty"`
	Fits         bool  `json:"fits"`
	// Swaps: it fits with one of two transformers in memory at a time.
	Swaps bool `json:"swaps,omitempty"`
	// What a step, the stages and the clip are predicted to take, in seconds; and the relative
	// standard error of that.
	StepSeconds  float64            `json:"predicted_step_seconds"`
	Stages       map[string]float64 `json:"predicted_stage_seconds"`
	TotalSeconds float64            `json:"predicted_seconds"`
	Error        float64            `json:"predicted_error"`
	// Compute, Exposed and Velocities add up to a step: computing, waiting for activations, and for
	// velocities.
	Compute    float64 `json:"step_compute_seconds"`
	Exposed    float64 `json:"step_exposed_seconds"`
	Velocities float64 `json:"step_velocities_seconds"`
	// Limit is what most of the time goes by: compute, memory, nvlink, pcie, xgmi, network, decode or
	// start; MFU is the part of the devices' peak that is used.
	Limit string  `json:"limit"`
	MFU   float64 `json:"mfu"`
	// DeviceSeconds are those of a clip, Cost is theirs; absent without prices.
	DeviceSeconds float64      `json:"device_seconds"`
	Cost          *price.Micro `json:"cost,omitempty"`
	Currency      string       `json:"currency,omitempty"`
	// Copies is how many clips the pool makes side by side on such meshes, and PerHour how many an
	// hour; 0 where it does not fit.
	Copies  int     `json:"clips_at_a_time"`
	PerHour float64 `json:"clips_per_hour"`
	// Where are the hosts of the ranks, for people.
	Where string `json:"where,omitempty"`
	// Chosen marks the mesh of the least time, Most that of the most clips an hour, Default the one
	// that a job gets which names none. Why says why a mesh is not chosen.
	Chosen  bool   `json:"chosen"`
	Most    bool   `json:"most_clips"`
	Default bool   `json:"default"`
	Why     string `json:"why,omitempty"`
}

// printPlanLines prints all meshes of all pools.
func printPlanLines(w io.Writer, plans []planned) error {
	var lines []planLine
	for _, p := range plans {
		for _, o := range p.options {
			lines = append(lines, p.line(o))
		}
	}
	return terminal.Lines(w, lines)
}

// line is an option for --json.
func (p planned) line(o advise.Option) planLine {
	load := plan.Load(p.clip.Model, p.clip.Spec)
	bytes, memory := partition.Bytes(o.Mesh, load), o.MemoryPerShard

	// What is split and sent is counted, the rest predicted.
	l := planLine{Pool: p.pool.Name, Mesh: o.Mesh.String(), Ranks: o.Mesh.Size(),
		BytesPerStep: bytes.Sum(), SeamBytes: bytes.Seams, BytesInside: int64(o.BytesInside),
		BytesBetween: int64(o.BytesBetween), Passes: passesOf(o.Mesh, load),
		Tokens: lengths(load.WindowTokens(), o.Mesh.Ulysses),
		Heads:  lengths(load.Heads, o.Mesh.Ulysses), Memory: memory.Total(),
		WeightBytes: memory.Weights, DenoiseBytes: memory.Denoise, DecodeBytes: memory.Decode,
		Has: o.Has, Fits: o.Fits, Swaps: o.Swaps, StepSeconds: o.Step, Stages: o.Stages,
		TotalSeconds: o.Total, Error: o.Error, Compute: o.Compute, Exposed: o.Exposed,
		Velocities: o.Velocities, Limit: o.Limit, MFU: o.MFU, DeviceSeconds: o.DeviceSeconds,
		Copies: o.Copies, PerHour: o.PerHour, Chosen: o.Fastest, Most: o.Most, Default: o.Default,
		Why: o.Why}

	if p.pool.Sheet != nil {
		l.Cost, l.Currency = &o.Cost, p.pool.Sheet.Currency
	}
	if p.pool.Hosts() > 1 {
		l.Where = p.where(o)
	}
	return l
}

// passesOf returns the passes that the busiest group of a mesh runs in a step.
func passesOf(m job.Mesh, l partition.Load) int {
	branches := int(l.Passes()) / l.Count()
	return (l.Count() + m.Windows() - 1) / m.Windows() * branches / m.CFG
}

// lengths returns how many of n things each of some ranks gets. They differ by one at most.
func lengths(n, parts int) []int {
	var out []int
	for _, r := range partition.Even(n, parts) {
		out = append(out, r.Len())
	}
	return out
}
