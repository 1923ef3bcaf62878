package cli

import (
	"io"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/terminal"
)

// printRanks tells how much the ranks of a clip waited, and for whom. line is printVideo's own.
func printRanks(line func(key, format string, args ...any), d schema.Details) {
	if d.Ranks == nil || len(d.Nodes) < 2 {
		return
	}
	s := d.Ranks.Straggler
	line("ranks", "waited for others in %.1f%% of the steps' time; slowest: rank %d (%s), %.2f "+
		"times the median, in %.0f%% of the steps", 100*d.Ranks.CommunicationShare, s.Rank, s.Node,
		s.Ratio, 100*s.Steps)
}

// One line is enough on a screen: the report has a table of all nodes that were the slowest, and a
// figure. Who runs on one rank sees no line at all.

// printStraggler tells the same of the clips of a benchmark that several ranks made, in a line.
func printStraggler(w io.Writer, s result.Summary) {
	if s.Stragglers == nil || len(s.Stragglers.Nodes) == 0 {
		return
	}
	n := s.Stragglers.Nodes[0]
	terminal.Printf(w, "ranks waited for others in %.3g%% of the steps' time; %s was the slowest in "+
		"%d of %d clips, %.3g times the median\n", 100**s.Communication.StepShare, n.Node, n.Clips,
		s.Completed, n.Ratio)
}
