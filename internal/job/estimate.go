package job

import (
	"fmt"
	"math"
	"time"
)

// Estimate is what a job was expected to take when it was created, on shards with nothing else to
// do.
type Estimate struct {
	// DeviceSeconds is the sum over ranks, Seconds the time from the order to start to the end.
	DeviceSeconds float64 `json:"device_seconds"`
	Seconds       float64 `json:"seconds"`
	// Error is the standard error of both, as a part of them: in two cases of three they are closer.
	Error float64 `json:"error"`
	// Samples is how many completed jobs it goes by; 0: by the shards' rated speed alone.
	Samples int `json:"samples,omitempty"`
}

// rangeErrors is to how many standard errors a range goes: all but one of twenty clips are in it.
const rangeErrors = 2

// Range returns the device-seconds between which nearly all such clips are.
func (e Estimate) Range() (low, high float64) {
	return e.DeviceSeconds * max(0, 1-rangeErrors*e.Error), e.DeviceSeconds * (1 + rangeErrors*e.Error)
}

// Took returns the device time of the attempt that has completed the job. Of a job's only attempt
// that includes what its ranks said after the end.
func (r Record) Took() time.Duration {
	if len(r.Losses) == 0 {
		return r.Usage.Total.Time
	}
	return r.Usage.Charged()
}

// checkEstimate wants numbers from 0.
func (r *Record) checkEstimate() error {
	e := r.Estimate
	if e == nil {
		return nil
	}
	for _, v := range []float64{e.DeviceSeconds, e.Seconds, e.Error} {
		if !(v >= 0 && v <= math.MaxFloat32) || e.Samples < 0 {
			return &FieldError{"estimate", fmt.Sprintf("%+v", *e), "from 0"}
		}
	}
	return nil
}
