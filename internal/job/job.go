package job

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/longtake/longtake/internal/partition"
)

// ID names a job for its whole life, for instance "video_01j...". It is a part of URLs, subjects
// and names of files: see CheckID.
type ID string

// NodeID names a registered shard process; a process that starts again has a new one.
type NodeID string

// Attempt numbers the placements of a job, from 1; it fences every message.
type Attempt uint32

// Spec is what was asked for, after defaults were filled in and every field was checked. It says
// all that the clip depends on: two attempts with one spec make the same latents, byte for byte.
// Raft stores it, so names here do not change, and new fields come with omitempty.
type Spec struct {
	Model          string  `json:"model"`
	Prompt         string  `json:"prompt"`
	NegativePrompt string  `json:"negative_prompt,omitempty"`
	Scenes         []Scene `json:"storyboard,omitempty"` // from 0 on; the first has the prompt
	// The clip's form. Frames counts all of them, also those that Inputs give.
	Width       int  `json:"width"`
	Height      int  `json:"height"`
	Frames      int  `json:"num_frames"`
	FramesAsked int  `json:"num_frames_asked,omitempty"` // 0: Frames
	FPS         Rate `json:"fps"`
	// How it is denoised.
	Steps         int     `json:"num_inference_steps"`
	GuidanceScale float64 `json:"guidance_scale"` // of all steps, or of the first expert's
	// GuidanceScale2 is that of the second expert's steps; 0 in a model of one transformer.
	GuidanceScale2 float64 `json:"guidance_scale_2,omitempty"`
	FlowShift      float64 `json:"flow_shift"`
	Scheduler      string  `json:"scheduler"` // "unipc", "euler" or "dmd"
	// Sigmas are the noise levels of the steps where those are given, by a preset or one by one, and
	// Timesteps what the model is told at each; nil: the levels times the training timesteps.
	Preset    string    `json:"preset,omitempty"`
	Sigmas    []float64 `json:"sigmas,omitempty"`
	Timesteps []float64 `json:"timesteps,omitempty"`
	LoRAs     []LoRA    `json:"lora,omitempty"`
	Seed      uint64    `json:"seed"`
	// How it is computed and written. DType is of the matrix products; what is kept and exchanged
	// is fp32.
	DType        string `json:"dtype"`                   // "fp32", "bf16"
	Format       string `json:"format"`                  // "webm", "mp4" or "png" (a zip of frames)
	VideoQuality int    `json:"video_quality,omitempty"` // of 100; 0: the format's own
	// Where it runs, as far as the client said.
	Shards  int  `json:"shards,omitempty"`  // 0: as many as pay
	Mesh    Mesh `json:"mesh,omitzero"`     // zero: the planner's choice
	Threads int  `json:"threads,omitempty"` // per shard; 0: the shard's own setting
	// Priority puts jobs of a higher one first, and lets them take the shards of lower ones.
	Priority int `json:"priority,omitempty"`

	// How a long clip is made: 0 and empty for one that is denoised as a whole. Window and Overlap
	// count latent frames.
	Window   int      `json:"window,omitempty"`
	Overlap  int      `json:"overlap,omitempty"`
	Schedule Schedule `json:"window_schedule,omitempty"`
	Long     Long     `json:"long,omitempty"`
	// SparseAttention is the pattern of tokens that attend to each other; see sparse.Parse.
	SparseAttention string `json:"sparse_attention,omitempty"`
	// StepCache is the change of the time embedding up to which steps take over what the blocks of an
	// earlier step added; 0: all steps run all blocks.
	StepCache float64 `json:"step_cache,omitempty"`
	// Blocks counts the windows that are made one after the other; 0: all are made together.
	Blocks int `json:"blocks,omitempty"`
	// Causal is how a causal model makes the blocks, with this clip's window and shift; nil for all
	// other clips.
	Causal *Causal `json:"causal,omitempty"`

	// Inputs are what the clip is made from besides words; Frames counts what they give, too.
	Inputs []Input `json:"inputs,omitempty"`

	// Strength, above 0 up to 1, is how much of a given video is new: the part of the steps that are
	// made. ConditioningScale is how strongly a clip follows what controls it. 0: neither.
	Strength          float64 `json:"strength,omitempty"`
	ConditioningScale float64 `json:"conditioning_scale,omitempty"`

	RemixOf ID `json:"remixed_from,omitempty"` // the video whose request was changed

	// What the client said, if that is not what the fields above have: an alias of the model, the
	// text of a duration, and notices on what was left out of the request.
	ModelAsked   string   `json:"model_asked,omitempty"`
	SecondsAsked string   `json:"seconds_asked,omitempty"`
	Notes        []string `json:"notes,omitempty"`
}

// Long is a way to make a clip that is longer than what the model makes at once.
type Long string

// The ways: all windows together, blended where they overlap; one after the other, each beginning
// with the last latents of the one before; or in blocks that attend to those before. The last two
// need a model that was trained for it.
const (
	LongWindows Long = "windows"
	LongExtend  Long = "extend"
	LongCausal  Long = "causal"
)

// Schedule says where windows begin from step to step.
type Schedule string

// The schedules: always at the same frames, or moved from step to step.
const (
	ScheduleStatic  Schedule = "static"
	ScheduleUniform Schedule = "uniform"
)

// TotalSteps returns the denoising steps of all windows that are made one after the other. Behind
// each block of a causal clip but the last is a step more, which leaves what later ones attend to.
func (s Spec) TotalSteps() int {
	if s.Causal != nil {
		return s.Blocks*(s.Steps+1) - 1
	}
	return (s.Steps - s.Skipped()) * max(1, s.Blocks)
}

// Notices tells what the clip has other than was asked for, one sentence each: what was left out of
// the request, and another number of frames.
func (s Spec) Notices() []string {
	out := slices.Clone(s.Notes)
	length := s.FPS.Seconds(s.Frames)

	switch asked, err := strconv.ParseFloat(s.SecondsAsked, 64); {
	case s.SecondsAsked != "":
		if err != nil || math.Abs(asked-length) > 1e-6 {
			out = append(out, fmt.Sprintf("%s s at %v fps were asked for; the clip has %d frames (%.4g s), "+
				"the nearest count that the model makes", s.SecondsAsked, s.FPS, s.Frames, length))
		}
	case s.FramesAsked != 0:
		out = append(out, fmt.Sprintf("%d frames were asked for; the clip has %d (%.3g s), the nearest "+
			"count that the model makes", s.FramesAsked, s.Frames, length))
	}
	return out
}

// Guided reports whether each step needs the unconditional branch too (as diffusers: scale > 1).
func (s Spec) Guided() bool { return s.GuidanceScale > 1 }

// Mesh arranges the ranks of a job, as a request or a plan names it.
type Mesh = partition.Mesh

// Plan is one attempt's placement: Nodes[r] runs rank r. The coordinator sends it to each of them,
// and the record keeps it until the next attempt.
type Plan struct {
	Job     ID       `json:"job"`
	Attempt Attempt  `json:"attempt"`
	Spec    Spec     `json:"spec"`
	Mesh    Mesh     `json:"mesh"`
	Nodes   []NodeID `json:"nodes"`
	// Where names the nodes and the mesh for people, in up to WhereLimit bytes.
	Where string `json:"where,omitempty"`
	// Predicted says for people what a step was predicted to take there, in up to WhereLimit bytes;
	// empty: it was not.
	Predicted string `json:"predicted,omitempty"`
	// Resume is where the attempt begins; CheckpointEvery is how many steps lie between two
	// checkpoints, 0: none are written.
	Resume          Checkpoint `json:"resume,omitzero"`
	CheckpointEvery int        `json:"checkpoint_every,omitempty"`
	// Shares are the speeds of the mesh's window groups, in any unit; nil: all alike.
	Shares []float64 `json:"shares,omitempty"`
	// PreviewEvery is how many steps lie between two previews, 0: none are made.
	PreviewEvery int `json:"preview_every,omitempty"`
	// Parts are the job's, for the ranks; the record itself keeps them outside the plan.
	Parts map[string]Object `json:"parts,omitempty"`
}

// State is where a job stands.
type State string

// States of a job; the last three are final.
const (
	Queued    State = "queued"
	Running   State = "running"
	Completed State = "completed"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Final reports whether a job in this state never changes again.
func (s State) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Stage is the part of the work a running job is in.
type Stage string

// Stages in their order.
const (
	StageLoad    Stage = "load" // of a model, where a shard has another one ready
	StageText    Stage = "text"
	StageDenoise Stage = "denoise"
	StageDecode  Stage = "decode"
	StageEncode  Stage = "encode"
)

// Progress is a running job's report. Rank 0 sends it several times a second to the coordinator
// that leads, which shows the latest one; it never goes through Raft.
type Progress struct {
	Job     ID      `json:"job"`
	Attempt Attempt `json:"attempt"`
	Stage   Stage   `json:"stage"`
	Done    int     `json:"done"` // steps or frames done in this stage
	// Part is how much of the next step is done, from 0 to 1, where a step takes long.
	Part  float64       `json:"part,omitempty"`
	Total int           `json:"total"` // steps or frames of this stage
	ETA   time.Duration `json:"eta_ns,omitempty"`
	// Ranks are how many are at work behind denoising, from rank 0 on; 0: rank 0 alone.
	Ranks int `json:"ranks,omitempty"`
}

// Object points to stored bytes. Stores keep objects by name; each reader checks size and sum.
type Object struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // lower-case hex
}

// Result is what a completed job leaves behind: two objects, and how it went.
type Result struct {
	Video          Object             `json:"video"`
	Latents        Object             `json:"latents"`        // safetensors, `latents` F32 [1,C,T,h,w]
	LatentsSHA256  string             `json:"latents_sha256"` // of the raw float32 bytes
	ContentType    string             `json:"content_type"`
	Seconds        map[Stage]float64  `json:"seconds"`
	StepSeconds    float64            `json:"step_seconds"`    // median denoising step
	BytesExchanged uint64             `json:"bytes_exchanged"` // sum over ranks, sent
	StepBytes      uint64             `json:"step_bytes"`      // of those, in a denoising step
	Retransmits    uint64             `json:"retransmits"`
	WindowsReused  int                `json:"windows_reused,omitempty"`
	FramesReused   int                `json:"frames_reused,omitempty"` // that were not decoded again
	Notices        []string           `json:"notices,omitempty"`       // e.g. prompt cut at 512 tokens
	Extra          map[string]float64 `json:"extra,omitempty"`
}
