package api

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// toVideo describes a job in OpenAI's words. The prompt, the model and the seconds are the client's
// own, as it wrote them; what they came to is in the details. Times are Unix seconds, as OpenAI has
// them; the details have them exactly. The coordinator is not asked again, so a page of a hundred
// costs one call.
func toVideo(v coord.View) schema.Video {
	s := v.Spec
	out := schema.Video{
		ID: v.ID, Object: "video", Model: cmp.Or(s.ModelAsked, s.Model), Status: status(v.State),
		Progress: percent(v),
		Prompt:   s.Prompt, Size: fmt.Sprintf("%dx%d", s.Width, s.Height),
		Seconds: cmp.Or(s.SecondsAsked,
			strconv.FormatFloat(s.FPS.Seconds(s.Frames), 'f', -1, 64)),
		CreatedAt: v.Created.Unix(), Details: details(v),
	}

	if s.RemixOf != "" {
		out.RemixedFrom = &s.RemixOf
	}
	if v.State == job.Completed {
		at := v.Finished.Unix()
		out.CompletedAt = &at
	}
	if !v.Expires.IsZero() {
		at := v.Expires.Unix()
		out.ExpiresAt = &at
	}

	switch v.State {
	// Programs tell the two by the code: a cancelled clip is "failed" for OpenAI's SDKs, too.
	case job.Failed:
		out.Error = &schema.VideoError{Code: "generation_failed", Message: v.Error}
	case job.Cancelled:
		out.Error = &schema.VideoError{Code: "cancelled", Message: "the job was cancelled"}
	}
	return out
}

// details gathers what OpenAI's object has no field for. Durations become seconds, as JSON has no
// unit.
func details(v coord.View) schema.Details {
	p := v.Progress
	d := schema.Details{
		Owner: v.Owner, Team: v.Team,
		State: v.State, Spec: v.Spec, Stage: p.Stage, Done: p.Done, Total: p.Total, Part: p.Part,
		ETA: p.ETA.Seconds(), Waiting: v.Waiting, Ahead: v.Ahead, Attempt: v.Attempt, Nodes: v.Nodes,
		CancelRequested: v.CancelRequested, Created: v.Created, Started: v.Started,
		PreviewStep: v.PreviewStep, ReadySeconds: len(v.Seconds()) * v.Spec.PartSeconds(),
		Notices:     append(v.Spec.Notices(), v.Result.Notices...),
		ClipSeconds: v.Spec.FPS.Seconds(v.Spec.Frames),
		Finished:    v.Finished, Decision: v.Decision, Losses: v.Losses, Checkpoint: v.Checkpoint.Step,
		CheckpointBytes: v.Checkpoint.Object.Size, CheckpointTime: v.Checkpoint.Seconds,
		Where: v.Plan.Where, Predicted: v.Plan.Predicted, Placed: v.Placed,
	}

	// What depends on the state, or is not there for every job.
	if !v.State.Final() {
		d.AttemptsLeft = v.AttemptsLeft()
	}
	if v.State == job.Running && v.CancelRequested {
		d.State, d.ETA = schema.Cancelling, 0
	}
	if v.Damage != "" {
		d.Notices = append(d.Notices, v.Damage)
	}
	if m := v.Plan.Mesh; m != (job.Mesh{}) {
		d.Mesh = m.String()
	}
	if n := len(v.Parts); n > 0 {
		d.Parts = &schema.Parts{Count: n, Bytes: v.PartsSize()}
	}
	if v.State == job.Completed {
		d.Result, d.Ranks = &v.Result, schema.RanksOf(v.Result, v.Nodes)
	}
	d.Usage, d.Cost, d.Estimate = usageOf(v), costOf(v.Bill), expectedOf(v)
	return d
}

// status is OpenAI's word for a state.
func status(s job.State) string {
	switch s {
	case job.Running:
		return "in_progress"
	case job.Cancelled:
		return "failed" // OpenAI has no other word for it
	}
	return string(s)
}

// percent weighs the stages as they weigh on a usual clip, so that a bar of it moves evenly.
// Denoising takes about nine tenths of it. A queued job has no stage, and 0.
func percent(v coord.View) int {
	if v.State == job.Completed {
		return 100
	}
	weights := map[job.Stage][2]int{job.StageText: {0, 2}, job.StageDenoise: {2, 88},
		job.StageDecode: {90, 9}, job.StageEncode: {99, 0}}
	w := weights[v.Progress.Stage]
	done := float64(v.Progress.Done) + v.Progress.Part
	return w[0] + int(float64(w[1])*done/float64(max(v.Progress.Total, 1)))
}
