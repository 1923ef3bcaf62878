package schema

import "github.com/longtake/longtake/internal/job"

// Ranks say how the ranks of a completed video's last attempt differed while it was denoised: three
// values stand for all of them, however many there were.
type Ranks struct {
	// CommunicationShare is the share of the steps' time, the mean over ranks, in which a rank
	// computed nothing because it waited for a message of another one.
	CommunicationShare float64 `json:"communication_share"`
	// Compute and Wait are seconds in all steps. Sent are the bytes of the attempt.
	Compute Spread `json:"compute_seconds"`
	Wait    Spread `json:"wait_seconds"`
	Sent    Spread `json:"sent_bytes"`
	// SlowestStep is the longest step; Result.StepSeconds is the median.
	SlowestStep float64   `json:"slowest_step_seconds"`
	Straggler   Straggler `json:"straggler"`
}

// Spread is of values of ranks. Of an even number, the median is the lower of the two in the
// middle.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Straggler is the rank that computed longest.
type Straggler struct {
	Rank int    `json:"rank"`
	Node string `json:"node,omitempty"`
	// Ratio is how many times as long as the median rank it computed, and Steps the share of the
	// steps in which it was the slowest.
	Ratio float64 `json:"ratio"`
	Steps float64 `json:"steps"`
}

// Nodes have their names from the placement, since a record has their ids alone, and a node that
// has left the cluster meanwhile may have no name any more: then the rank's number is all there is.

// RanksOf returns what a result says of its ranks, whose nodes have names by rank; nil: nothing.
func RanksOf(r job.Result, nodes []string) *Ranks {
	s, ok := r.Ranks()
	if !ok {
		return nil
	}
	out := &Ranks{CommunicationShare: s.Communication, Compute: Spread(s.Compute),
		Wait: Spread(s.Wait), Sent: Spread(s.Sent), SlowestStep: s.SlowestStep,
		Straggler: Straggler{Rank: s.Slowest, Ratio: s.Straggling(), Steps: s.SlowestSteps}}
	if s.Slowest < len(nodes) {
		out.Straggler.Node = nodes[s.Slowest]
	}
	return out
}
