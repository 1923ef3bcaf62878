package schema

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Video is a job in the shape of OpenAI's video object. What a client said comes back as it was
// written: the model's alias, the text of the seconds.
type Video struct {
	ID job.ID `json:"id"`
	// Object is always "video".
	Object string `json:"object"`
	// Model is the name that the request had, which may be an alias; Details.Spec has the model's
	// own.
	Model string `json:"model"`
	// Status is "queued", "in_progress", "completed" or "failed"; a cancelled video has failed, too.
	Status string `json:"status"`
	// Progress is in percent of the whole clip, 0 to 100.
	Progress int    `json:"progress"`
	Prompt   string `json:"prompt"`
	// Size is WIDTHxHEIGHT, in pixels.
	Size string `json:"size"`
	// Seconds are as they were asked for, such as "4"; else those of the clip.
	Seconds string `json:"seconds"`

	// Unix seconds. CompletedAt is null for a video that has not completed, and ExpiresAt unless
	// limits.keep-for is set.
	CreatedAt   int64  `json:"created_at"`
	CompletedAt *int64 `json:"completed_at"`
	ExpiresAt   *int64 `json:"expires_at"`

	// RemixedFrom is the video whose request this one repeats with changes; null for any other.
	RemixedFrom *job.ID `json:"remixed_from_video_id"`
	// Error is null unless Status is "failed".
	Error   *VideoError `json:"error"`
	Details Details     `json:"longtake"`
}

// VideoError says why a video failed; a cancelled one has the code "cancelled". One that failed by
// itself has "generation_failed". The message is for people.
type VideoError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Details are what OpenAI's object has no field for: where the job stands, what it came to, and how
// it went.
type Details struct {
	// State is the job's, or Cancelling. Spec is what the request came to.
	State job.State `json:"state"`
	// Owner is the id of the key, or other principal, that made it, Team its team; "": nobody's.
	Owner string   `json:"owner,omitempty"`
	Team  string   `json:"team,omitempty"`
	Spec  job.Spec `json:"spec"`

	// How far a running job is in the stage it is in: steps or frames done, of how many, the share of
	// the next step that is done where steps take long, and an estimate of the time left.
	Stage job.Stage `json:"stage,omitempty"`
	Done  int       `json:"done,omitempty"`
	Total int       `json:"total,omitempty"`
	Part  float64   `json:"part,omitempty"`
	ETA   float64   `json:"eta_seconds,omitempty"`

	// Why a queued job waits, for people, and how many jobs are before it.
	Waiting string `json:"waiting,omitempty"`
	Ahead   int    `json:"jobs_ahead,omitempty"`

	// The latest attempt, and how many more may be lost without progress before the job fails. Where
	// names its nodes and mesh for people, Nodes are its names by rank.
	Attempt      job.Attempt `json:"attempt,omitempty"`
	AttemptsLeft int         `json:"attempts_left,omitempty"`
	Where        string      `json:"where,omitempty"`
	// Predicted says what a step was predicted to take there, where the nodes are on several hosts.
	Predicted string    `json:"predicted,omitempty"`
	Placed    time.Time `json:"placed,omitzero"`
	Mesh      string    `json:"mesh,omitempty"`
	Nodes     []string  `json:"nodes,omitempty"`
	// Losses are attempts that ended early, the oldest first.
	Losses []job.Loss `json:"attempts_lost,omitempty"`

	// What of a job that is not final is durable: the step of its latest checkpoint, 0 for none, with
	// its size and how long storing it took from the end of the step; and finished parts.
	Checkpoint      int     `json:"checkpoint_step,omitempty"`
	CheckpointBytes int64   `json:"checkpoint_bytes,omitempty"`
	CheckpointTime  float64 `json:"checkpoint_seconds,omitempty"`
	Parts           *Parts  `json:"parts,omitempty"`

	// What can be looked at before the clip is done: seconds of it, and the step of a preview.
	ReadySeconds int `json:"ready_seconds,omitempty"`
	PreviewStep  int `json:"preview_step,omitempty"`

	// Notices say what the clip has instead of what was asked for, or that its files are damaged.
	// Decision is why the job moved to other shards, or stayed.
	Notices  []string `json:"notices,omitempty"`
	Decision string   `json:"decision,omitempty"`

	// CancelRequested stays true after the job has ended.
	CancelRequested bool      `json:"cancel_requested,omitempty"`
	Created         time.Time `json:"created"`
	Started         time.Time `json:"started,omitzero"`
	Finished        time.Time `json:"finished,omitzero"`

	// ClipSeconds is how long the clip is; Video.Seconds may be what was asked for.
	ClipSeconds float64 `json:"clip_seconds"`
	// Result is there once the job has completed.
	Result *job.Result `json:"result,omitempty"`
	// Ranks say what its ranks did, absent where they did not tell.
	Ranks *Ranks `json:"ranks,omitempty"`

	// Usage is what the video has used of shards so far, absent before it runs. Cost is what it costs,
	// once it has ended and where there is a price sheet; nothing, where nothing is charged.
	Usage *Usage `json:"usage,omitempty"`
	Cost  *Cost  `json:"cost,omitempty"`
	// Estimate is what it was expected to take when it was created, absent where nobody knew.
	Estimate *Expected `json:"estimate,omitempty"`
}

// Cancelling is the state of a running job that was cancelled, until its shards have stopped.
const Cancelling job.State = "cancelling"

// Parts are finished pieces of a job's work: a later attempt uses them instead of making them
// again.
type Parts struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

// Final reports whether the video will not change any more: it is completed, failed or cancelled.
func (v Video) Final() bool { return v.Details.State.Final() }
