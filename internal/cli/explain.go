package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// since is when a job came into the state in which it waits or runs, zero for one that has ended. A
// job that waits again does so since its last loss.
func since(v schema.Video) time.Time {
	d := v.Details
	// The time since the last loss is what somebody who waits wants to know, not the time since the
	// job was created.
	switch n := len(d.Losses); {
	case v.Final():
		return time.Time{}
	case d.State != job.Queued:
		return d.Placed
	case n > 0:
		return d.Losses[n-1].Time
	}
	return d.Created
}

// advice is what to say of a reason that contains some words: what happens next by itself, and what
// the user can do about it. words are matched as they stand in the reason. `job status` shows next
// and do on the lines "next" and "to do"; "" leaves the line out.
type advice struct{ words, next, do string }

// ofWaiting is by how the coordinators word why a job waits, the more special words first.
// "registered" before "waits", for example, as the first match is taken. A reason that none fits
// gets no advice, which is better than a wrong one.
var ofWaiting = []advice{
	// What names of keys may be in comes first: a key may be called anything, "idle" too.
	{"of others first", "it starts when they have had their turn: owners share by device-seconds",
		"nothing; or give it a higher --priority"},
	{"at a time", "it starts when another job of the same key or team has ended",
		"nothing; or ask for a larger quota: longtake quota shows it"},
	{"until 00:00 UTC", "it goes on then, or once the quota is larger",
		"nothing; or ask for a larger quota: longtake quota shows it"},
	{"waits for a shard to register", "it starts when a shard has registered",
		"start a shard whose control names this coordinator; longtake node list shows it then"},
	{"that has model", "it starts when a shard has registered that has its model",
		"start a shard with that model, or see longtake model list and ask for another one"},
	{"go first", "it starts when they have ended, or when that time is over",
		"nothing; or give it a higher --priority"},
	{"registered", "it starts when so many shards are registered",
		"start more shards; or cancel it, and ask for fewer with --shards"},
	{"that can write", "it starts on a shard that can write the format",
		"install ffmpeg where a shard runs and start that again; or ask for webm"},
	{"idle", "it starts when other jobs have ended",
		"nothing; or give it a higher --priority, or start more shards"},
	{"waits for room", "it starts when there is room on the coordinators' disk",
		"longtake job delete of clips that nobody needs; longtake cluster status shows the room"},
	{"object store", "it starts when the object store is there",
		"nothing for a minute; then see the coordinators' log and longtake cluster status"},
	{"it has not failed", "it starts on a shard on which it has not failed",
		"start another shard, or see the logs of those on which it failed (longtake job logs)"},
	{"waits", "it goes on by itself in a moment", ""},
}

// ofFailure is by words of why a job failed; the last one, for anything else, always matches. Most
// of it ends in job retry: the same clip may succeed once the cause is gone.
var ofFailure = []advice{
	{words: "not finite", do: "the model or what the clip starts from holds numbers that are none: " +
		"check the model's files, then longtake job retry"},
	{words: "without progress", do: "see in longtake job logs what the attempts have in common, put " +
		"it right, then longtake job retry"},
	{words: "out of memory", do: "use more shards, a smaller size or a shorter --window"},
	{words: "cannot be shared", do: "ask for another number of shards; longtake plan shows what fits"},
	{words: "no space left", do: "make room where the shard keeps its temporary files (--tmp), then " +
		"longtake job retry"},
	{words: "ffmpeg", do: "check ffmpeg on the shard's host, or ask for webm"},
	{words: "object", do: "see longtake cluster status and the coordinators' log, then longtake job " +
		"retry"},
	{words: "", do: "put the cause right, then longtake job retry; longtake job logs has what came " +
		"before"},
}

// adviceOn returns the first advice whose words are in reason. The coordinators' reasons are
// sentences for people; matching their words keeps advice out of what is stored.
func adviceOn(list []advice, reason string) advice {
	for _, a := range list {
		if strings.Contains(reason, a.words) {
			return a
		}
	}
	return advice{}
}

// outlook says what happens next with a job, "" if nothing does. The result is shown by `job
// status`.
func outlook(v schema.Video) string {
	d := v.Details
	switch {
	// A cancellation interrupts the step under way, however long that takes.
	case d.State == schema.Cancelling:
		return "its shards stop, within seconds; then it is cancelled"

	case d.State == job.Queued && d.Waiting != "":
		return adviceOn(ofWaiting, d.Waiting).next + resumes(d)
	// It waits for nothing but the jobs ahead of it.
	case d.State == job.Queued && d.Ahead > 0:
		return fmt.Sprintf("it starts after %s that go before it%s", count(d.Ahead, "job"), resumes(d))

	case d.State == job.Running && d.ETA > 0:
		// The ETA is of the stage, in seconds; stages to come are not in it.
		left := longSpan(time.Duration(d.ETA * float64(time.Second)))
		return fmt.Sprintf("%s of %s left%s", left, d.Stage, ifLost(d))
	case d.State == job.Running:
		return "it goes on" + ifLost(d)
	}
	return ""
}

// resumes says from where a queued job that has run before goes on, as the end of a sentence.
// Without an attempt there is nothing to go on from, and nothing to say.
func resumes(d schema.Details) string {
	switch {
	case d.Attempt == 0:
		return ""
	case d.Checkpoint == 0:
		return ", from the beginning" + chances(d)
	}
	return fmt.Sprintf(", from step %d of %d%s", d.Checkpoint, d.Spec.TotalSteps(), chances(d))
}

// ifLost says what losing a shard would cost a running job, as the end of a sentence. It answers
// whether a machine can be stopped now.
func ifLost(d schema.Details) string {
	if d.Checkpoint == 0 {
		return "; if a shard is lost, it starts over on others" + chances(d)
	}
	return fmt.Sprintf("; if a shard is lost, it resumes at step %d on others%s", d.Checkpoint,
		chances(d))
}

// chances says how many more attempts may be lost, once some were: see job.FutileLimit. Attempts
// that made progress do not count against the job, so a clip that moves on never comes near the
// limit.
func chances(d schema.Details) string {
	if len(d.Losses) == 0 || d.AttemptsLeft == 0 {
		return ""
	}
	return fmt.Sprintf(" (it fails after %s more without a step of progress)",
		count(d.AttemptsLeft, "attempt"))
}

// remedy says what the user can do for a job, "" if nothing is needed. Commands in it can be pasted
// as they are.
func remedy(v schema.Video) string {
	d := v.Details
	switch {
	case d.State == job.Queued && d.Waiting != "":
		return adviceOn(ofWaiting, d.Waiting).do
	case d.State == job.Failed && v.Error != nil:
		return adviceOn(ofFailure, v.Error.Message).do
	case d.State == job.Completed:
		return fmt.Sprintf("longtake job fetch %s", v.ID)
	case d.State == job.Cancelled:
		return fmt.Sprintf("nothing; longtake job retry %s queues it again", v.ID)
	}
	return ""
}
