package wire

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// How a node says what its ranks have used: a heartbeat has the sum of the rank at work since its
// start, and each rank that has ended until a leader says that it is settled. Leaders and nodes of
// earlier releases skip these fields, and meter nothing.

// EndedLimit bounds the ranks that a node remembers until a leader has settled them. Leaders of
// earlier releases never do.
const EndedLimit = 32

// checkEnded wants ranks that the node can have run, and what each may have used.
func checkEnded(node job.NodeID, ended []Ended, metered time.Duration) error {
	if len(ended) > EndedLimit || metered < 0 {
		return fmt.Errorf("%d ranks that ended, %v in all; allowed: up to %d", len(ended), metered,
			EndedLimit)
	}
	for _, e := range ended {
		if err := e.Work.check(node); err != nil {
			return err
		}
		if err := e.Usage.Check(); err != nil {
			return err
		}
	}
	return nil
}
