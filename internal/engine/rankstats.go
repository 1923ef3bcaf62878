package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

const (
	// stepParts is into how many parts of equal counts a rank divides its steps for rank 0, which
	// finds out in how many of them the slowest rank was the slowest. Few steps are a part each.
	stepParts = 32
	// statsPatience is how long rank 0 waits for what the others tell of their steps once all else is
	// there. A rank of the release before tells nothing.
	statsPatience = 2 * time.Second
)

// stepMeter counts what a rank does in its steps: it computes, or it waits for messages of others.
// On a GPU it is the host that is seen to wait, from when what it sends has left the device: a
// device that still computes what came after that looks as if it waited, and devices of one process
// that take from each other do not look so at all.
type stepMeter struct {
	waited  time.Duration   // of the step under way
	wait    time.Duration   // of all steps that are done
	compute []time.Duration // of each of these
	longest time.Duration   // step, with its waits
}

// waiting returns what ends a wait that begins now.
func (m *stepMeter) waiting() func() {
	start := time.Now()
	return func() { m.waited += time.Since(start) }
}

// A step in which blocks are skipped takes little time, and counts as much as it takes: shares are
// of time, and not of steps.

// done takes in a step.
func (m *stepMeter) done(took time.Duration) {
	waited := min(m.waited, took)
	m.waited = 0
	m.wait += waited
	m.compute = append(m.compute, took-waited)
	m.longest = max(m.longest, took)
}

// parts returns the seconds of computing in each part of the steps.
func (m *stepMeter) parts() []float64 {
	n := min(stepParts, len(m.compute))
	out := make([]float64, n)
	for i := range out {
		for _, d := range m.compute[i*len(m.compute)/n : (i+1)*len(m.compute)/n] {
			out[i] += d.Seconds()
		}
	}
	return out
}

// What ranks tell is for people, and decides nothing: a clip whose ranks tell nothing, or nonsense,
// is the same clip. So all of it is read with care, and none of it is waited for long.

// report is what rank 0 is told: the seconds of waiting, and the parts.
func (m *stepMeter) report() []float64 { return append([]float64{m.wait.Seconds()}, m.parts()...) }

// The report goes in a message of its own, before the bytes that all releases send. A rank 0 of the
// release before leaves it where it is, and one of this release finds it there at once; only where
// a rank is of the release before, rank 0 waits in vain, once, for as long as statsPatience.

// sendReport tells rank 0 of the steps. Rank 0 of an earlier release does not ask for it.
func (r *run) sendReport(ctx context.Context) error {
	var b []byte
	for _, v := range r.meter.report() {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return r.Transport.Send(ctx, 0, r.closingTag(opRanks), b)
}

// collectReports puts what all ranks tell of their steps into res; sent are the bytes that each has
// sent. Where a rank tells nothing, nothing is said of any.
func (r *run) collectReports(ctx context.Context, sent []float64, res *job.Result) error {
	if len(r.meter.compute) == 0 {
		return nil // denoising was over before this attempt
	}

	short, cancel := context.WithTimeout(ctx, statsPatience)
	defer cancel()

	reports := [][]float64{r.meter.report()}
	for peer := 1; peer < r.Transport.Size(); peer++ {
		b, err := r.Transport.Recv(short, peer, r.closingTag(opRanks))
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return nil
		}

		if err != nil {
			return err
		}
		if len(b) != 8*len(reports[0]) {
			return r.badMessage(peer, "what a rank did", len(b))
		}
		reports = append(reports, readFloats(b))
	}

	s := rankStats(reports)
	s.Sent, s.SlowestStep = job.SpreadOf(sent), r.meter.longest.Seconds()
	res.Extra = s.Extra()
	return nil
}

// readFloats reads little-endian float64s. What is no time counts as none.
func readFloats(b []byte) (out []float64) {
	for ; len(b) > 0; b = b[8:] {
		v := math.Float64frombits(binary.LittleEndian.Uint64(b))
		if !(v >= 0 && v <= math.MaxFloat32) {
			v = 0
		}
		out = append(out, v)
	}
	return out
}

// Waits are of the same steps as computing, so both add up to what the steps took, but for a clock
// that jumps. A rank without a step, which none is, would have a share of nothing.

// rankStats sums up the reports of all ranks, by rank.
func rankStats(reports [][]float64) (s job.RankStats) {
	var compute, wait []float64
	for _, r := range reports {
		total := 0.0
		for _, v := range r[1:] {
			total += v
		}
		compute, wait = append(compute, total), append(wait, r[0])
		if all := total + r[0]; all > 0 {
			s.Communication += r[0] / all / float64(len(reports))
		}
	}

	s.Compute, s.Wait = job.SpreadOf(compute), job.SpreadOf(wait)
	s.Slowest = slices.Index(compute, s.Compute.Max)

	// A rank that is slow now and then has another reason than one that always is.
	parts := len(reports[0]) - 1
	for i := range parts {
		slowest := true
		for _, r := range reports {
			slowest = slowest && r[1+i] <= reports[s.Slowest][1+i]
		}
		if slowest {
			s.SlowestSteps += 1 / float64(parts)
		}
	}

	return s
}
