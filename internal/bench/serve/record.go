package serve

import (
	"errors"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// Zero is a value in few of these fields, and in a result it would be taken for a measurement:
// clips that took no memory, ranks that sent nothing. So what is not known is left out.

// record is what became of a slot: planned and sent are seconds by the run's clock. The latency
// counts from when the clip was planned. Zero in an outcome is what the server does not tell, and
// stays absent.
func record(s Slot, planned, sent float64, o target.Outcome, err error) result.Request {
	q := s.Request
	r := result.Request{Index: s.Index, Phase: s.Phase, Round: s.Round, Point: s.Point,
		Prompt: s.Prompt, Seed: q.Seed, Model: q.Model, Priority: q.Priority,
		Width: either(o.Width, q.Width), Height: either(o.Height, q.Height),
		Frames: either(o.Frames, q.Frames), FPS: either(o.FPS, q.FPS),
		Steps: either(o.Steps, q.Steps), Tokens: o.Tokens, Operations: o.Operations,
		Planned: planned, Sent: sent, Latency: sent - planned + o.Latency.Seconds(),
		Resolution:   o.Resolution.Seconds(),
		FirstPreview: o.FirstPreview.Seconds(), FirstPlayable: o.FirstPlayable.Seconds(),
		ID: o.ID, Retries: o.Retries, Attempts: o.Attempts, Ranks: o.Ranks, Mesh: o.Mesh,
		DeviceSeconds: o.DeviceSeconds,
		PerRank:       perRank(o.PerRank), PeakMemory: o.PeakMemory, StepSeconds: o.StepSeconds,
		SlowestStep: o.SlowestStep, LatentsSHA256: o.LatentsSHA256, ContentSHA256: o.ContentSHA256,
		ContentBytes: o.ContentBytes}

	// A clip that did not wait has a queue of 0 only where the server tells stages at all.
	if len(o.Stages) > 0 {
		r.Queue, r.Stages = new(o.Queue.Seconds()), map[string]float64{}
	}

	for name, d := range o.Stages {
		r.Stages[name] = d.Seconds()
	}
	if o.Joules > 0 {
		r.Joules = &o.Joules
	}

	if o.BytesSent > 0 || o.Ranks > 1 {
		r.BytesSent = &o.BytesSent
	}

	if err != nil {
		r.Failure, r.Latency = failure(err), 0
	} else if r.Latency <= 0 { // a server that answers at once, by a clock that is as coarse
		r.Latency = time.Nanosecond.Seconds()
	}
	return r
}

// Types of the result are its own, though they look like those of the API: a file that is read in
// a year must not change with a server.

// perRank is what a server tells of a clip's ranks, nil for nothing. What cannot be, since a server
// may say anything, is taken for nothing as well.
func perRank(r *target.PerRank) *result.PerRank {
	if r == nil {
		return nil
	}
	out := &result.PerRank{CommunicationShare: r.CommunicationShare,
		Compute: result.Spread(r.Compute), Wait: result.Spread(r.Wait), Sent: result.Spread(r.Sent),
		Slowest: result.Slowest(r.Straggler)}
	if !out.Possible() {
		return nil
	}
	return out
}

// either is what the server says, or else what was asked for.
func either(told, asked int) int {
	if told != 0 {
		return told
	}
	return asked
}

// Failures keep the server's own words, cut, since they go into a file that is shown to others and
// into a report. Which class they are of decides how a report counts them: a server that refuses
// what it has no room for does what it ought to.

// classes are the result's words for a target's.
var classes = map[target.Kind]string{
	target.Refused: result.FailBusy, target.Rejected: result.FailRefused,
	target.Failed: result.FailServer, target.Malformed: result.FailServer,
	target.Wrong: result.FailWrong, target.Unreachable: result.FailNetwork,
	target.Late: result.FailTimeout, target.Cancelled: result.FailInterrupted,
}

// failure sorts an error.
func failure(err error) *result.Failure {
	out := &result.Failure{Class: result.FailServer, Message: err.Error()}
	var f *target.Failure
	if errors.As(err, &f) && classes[f.Kind] != "" {
		out.Class = classes[f.Kind]
	}
	const most = 1000 // bytes of what a server says
	out.Message = out.Message[:min(len(out.Message), most)]
	return out
}
