package cli

import (
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/terminal"
)

// resultLine is the last line of --json. Its names are promises to scripts.
type resultLine struct {
	// Event is "result"; lines before it have "progress" or "lost".
	Event  string `json:"event"`
	ID     job.ID `json:"id"`
	Output string `json:"output"` // path of the clip

	// What was made, and on how many shards in which arrangement.
	Spec job.Spec `json:"spec"`
	Mesh string   `json:"mesh"`

	// How long it took: by stage, the median step, and all of the command, a cluster's start
	// included.
	Seconds      map[job.Stage]float64 `json:"seconds"`
	StepSeconds  float64               `json:"step_seconds"`
	TotalSeconds float64               `json:"total_seconds"`

	// What the shards sent to each other, in all and in a step, and what had to be sent twice.
	BytesExchanged uint64 `json:"bytes_exchanged"`
	StepBytes      uint64 `json:"bytes_per_step"`
	Retransmits    uint64 `json:"retransmits"`

	// Windows of a step that a lost attempt had finished, which were not computed again.
	WindowsReused int `json:"windows_reused,omitempty"`

	// Sums to compare clips by. That of the latents is the same on any number of shards.
	LatentsSHA256 string   `json:"latents_sha256"`
	VideoSHA256   string   `json:"video_sha256"`
	Notices       []string `json:"notices,omitempty"`

	// What it used of shards, and what it costs where there is a price sheet.
	Usage *schema.Usage `json:"usage,omitempty"`
	Cost  *schema.Cost  `json:"cost,omitempty"`
}

// summarise tells what was made, and what it took: one object with --json, or else three lines.
func (g *generation) summarise(v schema.Video) error {
	// Result is set: fetch has refused a video without one.
	r, s := v.Details.Result, v.Details.Spec
	took := time.Since(g.started)
	if g.json {
		return terminal.JSON(g.stdout, resultLine{Event: "result", ID: v.ID, Output: g.out.Path, Spec: s,
			Mesh: v.Details.Mesh, Seconds: r.Seconds, StepSeconds: r.StepSeconds,
			TotalSeconds: took.Seconds(), BytesExchanged: r.BytesExchanged, StepBytes: r.StepBytes,
			Retransmits: r.Retransmits, WindowsReused: r.WindowsReused,
			LatentsSHA256: r.LatentsSHA256, VideoSHA256: r.Video.SHA256, Notices: v.Details.Notices,
			Usage: v.Details.Usage, Cost: v.Details.Cost})
	}

	printNotices(g.stderr, v.Details.Notices)
	// The seed is shown as it may be random; with it the same clip can be made again.
	terminal.Printf(g.stdout, "%s: %s, %s at %v fps, seed %d\n", g.out.Path, v.Size,
		count(s.Frames, "frame"), s.FPS, s.Seed)
	terminal.Printf(g.stdout, "%s of %s on %s; text %s, decode %s, encode %s; ",
		count(s.Steps-s.Skipped(), "step"), span(r.StepSeconds), v.Details.Mesh,
		span(r.Seconds[job.StageText]), span(r.Seconds[job.StageDecode]),
		span(r.Seconds[job.StageEncode]))
	terminal.Printf(g.stdout, "%s exchanged, %s a step; %s in all\n", size(r.BytesExchanged),
		size(r.StepBytes), span(took.Seconds()))
	if c := v.Details.Cost; c != nil {
		terminal.Printf(g.stdout, "cost %s\n", costText(c))
	}
	return nil
}
