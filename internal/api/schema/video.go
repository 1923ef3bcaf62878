package schema

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Video is a job in the shape of OpenAI's video object.
type Video struct {
	ID          job.ID      `json:"id"`
	Object      string      `json:"object"`   // "video"
	Model       string      `json:"model"`    // as it was asked for
	Status      string      `json:"status"`   // "queued", "in_progress", "completed" or "failed"
	Progress    int         `json:"progress"` // percent
	Prompt      string      `json:"prompt"`
	Size        string      `json:"size"`       // WxH
	Seconds     string      `json:"seconds"`    // as they were asked for; else of the clip
	CreatedAt   int64       `json:"created_at"` // Unix seconds, as the others
	CompletedAt *int64      `json:"completed_at"`
	ExpiresAt   *int64      `json:"expires_at"` // null, unless limits.keep-for is set
	RemixedFrom *job.ID     `json:"remixed_from_video_id"`
	Error       *VideoError `json:"error"`
	Details     Details     `json:"longtake"`
}

// VideoError says why a video failed; a cancelled one has the code "cancelled".
type VideoError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Details are what OpenAI's object has no field for.
type Details struct {
	State           job.State   `json:"state"` // the job's, or Cancelling
	Spec            job.Spec    `json:"spec"`
	Stage           job.Stage   `json:"stage,omitempty"`
	Done            int         `json:"done,omitempty"`        // steps or frames of the stage
	Total           int         `json:"total,omitempty"`       // steps or frames of the stage
	Part            float64     `json:"part,omitempty"`        // of a step that takes long
	ETA             float64     `json:"eta_seconds,omitempty"` // of the stage
	Waiting         string      `json:"waiting,omitempty"`     // why it is queued
	Ahead           int         `json:"jobs_ahead,omitempty"`
	Attempt         job.Attempt `json:"attempt,omitempty"`
	AttemptsLeft    int         `json:"attempts_left,omitempty"` // without progress, until it fails
	Where           string      `json:"where,omitempty"`         // the latest attempt's nodes and mesh
	Placed          time.Time   `json:"placed,omitzero"`         // when that began
	Mesh            string      `json:"mesh,omitempty"`
	Nodes           []string    `json:"nodes,omitempty"`           // names, by rank
	Losses          []job.Loss  `json:"attempts_lost,omitempty"`   // oldest first
	Checkpoint      int         `json:"checkpoint_step,omitempty"` // of a job on its way; 0: none yet
	CheckpointBytes int64       `json:"checkpoint_bytes,omitempty"`
	CheckpointTime  float64     `json:"checkpoint_seconds,omitempty"` // from its step's end
	Parts           *Parts      `json:"parts,omitempty"`              // of a job on its way
	ReadySeconds    int         `json:"ready_seconds,omitempty"`      // of a job on its way
	PreviewStep     int         `json:"preview_step,omitempty"`       // of the latest preview
	Notices         []string    `json:"notices,omitempty"`            // on what it has instead
	Decision        string      `json:"decision,omitempty"`           // on going over to other shards
	CancelRequested bool        `json:"cancel_requested,omitempty"`
	Created         time.Time   `json:"created"`
	Started         time.Time   `json:"started,omitzero"`
	Finished        time.Time   `json:"finished,omitzero"`
	ClipSeconds     float64     `json:"clip_seconds"` // what the clip has
	Result          *job.Result `json:"result,omitempty"`
}

// Cancelling is the state of a running job that was cancelled, until its shards have stopped.
const Cancelling job.State = "cancelling"

// Parts are finished pieces of a job's work that a later attempt uses.
type Parts struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

// Final reports whether the video will not change any more.
func (v Video) Final() bool { return v.Details.State.Final() }
