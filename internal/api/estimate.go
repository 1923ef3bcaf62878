package api

import (
	"fmt"
	"net/http"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// estimate answers with what a create of the same body would take. What the clip is made from is
// received and looked at, since the length of a video decides on the clip's, but not stored.
func (s *server) estimate(w http.ResponseWriter, r *http.Request) error {
	q := &request{}
	m, in, err := s.asked(q, w, r, "")
	defer in.drop()
	if err != nil {
		return err
	}

	// An idempotency key says nothing here: a repeat gets the estimate of its own moment.
	req, _, err := s.openInputs(r.Context(), q.Request, m, in)
	if err != nil {
		return err
	}
	e, err := s.service.Estimate(r.Context(), req.Unstored())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, toEstimate(e))
	return nil
}

// The answer says what is not known by leaving it out, never by a zero: a client that adds up
// estimates must not take a clip for free because the shards have not been rated yet.

// toEstimate shows an estimate to clients.
func toEstimate(e coord.Estimate) schema.Estimate {
	s := e.Spec
	out := schema.Estimate{Object: "estimate", Model: s.Model, Frames: s.Frames,
		Size: fmt.Sprintf("%dx%d", s.Width, s.Height), Mesh: e.Mesh.String(), Memory: e.Memory,
		Shards: append([]string{}, e.Nodes...), Devices: append([]string{}, e.Devices...),
		Waiting: e.Waiting, Ahead: e.Ahead}
	if e.Known {
		low, high := e.Range()
		out.DeviceSeconds, out.ComputeSeconds, out.Error = e.DeviceSeconds, e.Seconds, e.Error
		out.Samples, out.Range = e.Samples, [2]float64{low, high}
	}

	if b := e.Cost; b != nil {
		out.Cost = &schema.EstimatedCost{Amount: b.Amount, Low: e.Low.Amount, High: e.High.Amount,
			Currency: b.Currency, Plan: b.Plan, Sheet: b.Sheet}
	}
	return out
}

// expectedOf sets the estimate of a video beside what it took. Of a video that lost an attempt,
// that is what the one that completed it took.
func expectedOf(v coord.View) *schema.Expected {
	if v.Estimate == nil {
		return nil
	}
	e := schema.Expected{DeviceSeconds: v.Estimate.DeviceSeconds, Error: v.Estimate.Error,
		ComputeSeconds: v.Estimate.Seconds, Samples: v.Estimate.Samples}
	if v.State != job.Completed {
		return &e
	}

	// The error is of the estimate against the clip, so that 0.1 is a tenth too high.
	e.Took = v.Record.Took().Seconds()
	if e.Took > 0 {
		e.Off = e.DeviceSeconds/e.Took - 1
	}
	if e.TookWhole = v.Finished.Sub(v.Placed).Seconds(); e.TookWhole > 0 {
		e.ComputeOff = e.ComputeSeconds/e.TookWhole - 1
	} else {
		e.TookWhole = 0 // the time of day was set back
	}
	return &e
}
