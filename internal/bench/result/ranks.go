package result

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/longtake/longtake/internal/bench/plot"
)

// PerRank is what the ranks of a clip did in its steps. Three values stand for all ranks.
type PerRank struct {
	// CommunicationShare is the share of the steps' time, the mean over ranks, in which a rank
	// computed nothing because it waited for a message of another one.
	CommunicationShare float64 `json:"communication_share"`

	// Seconds of all steps in which a rank computed, and in which it waited; bytes that it sent.
	Compute Spread `json:"compute_seconds"`
	Wait    Spread `json:"wait_seconds"`
	Sent    Spread `json:"sent_bytes"`

	// Slowest is the rank that computed longest.
	Slowest Slowest `json:"straggler"`
}

// Spread is of values of ranks. Of an even number, the median is the lower of the two in the
// middle.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Slowest is the rank of a clip that computed longest.
type Slowest struct {
	// Rank counts from 0; Node is the name of the process that it was.
	Rank int    `json:"rank"`
	Node string `json:"node,omitempty"`

	// Ratio is how many times as long as the median rank it computed, Steps the share of the steps in
	// which it was the slowest of all, from 0 to 1.
	Ratio float64 `json:"ratio"`
	Steps float64 `json:"steps"`
}

// What a server says of its ranks is printed and summed up, so numbers that cannot be are refused
// as a whole: a share above 1, say, would be put down to a fast network by whoever reads it.

// Possible reports whether ranks can have done what p says. Servers of others are not believed.
func (p PerRank) Possible() bool {
	values := []float64{p.CommunicationShare, p.Slowest.Ratio, p.Slowest.Steps,
		float64(p.Slowest.Rank)}
	for _, s := range []Spread{p.Compute, p.Wait, p.Sent} {
		values = append(values, s.Min, s.Median, s.Max)
	}
	possible := func(v float64) bool { return v >= 0 && v <= numberMax } // nor NaN
	return !slices.ContainsFunc(values, func(v float64) bool { return !possible(v) }) &&
		p.CommunicationShare <= 1 && p.Slowest.Steps <= 1+1e-6 && len(p.Slowest.Node) <= stringMax
}

// nodesMax is how many nodes a summary names.
const nodesMax = 16

// SlowNode is a node that was the slowest rank of some clips.
type SlowNode struct {
	Node string `json:"node"`

	// Clips is of how many it was, with others beside it. Ratio and Steps are the means of these
	// clips' Slowest.
	Clips int     `json:"clips"`
	Ratio float64 `json:"ratio"`
	Steps float64 `json:"steps"`
}

// A node that is slow is found by being the slowest again and again. Of two ranks that are alike
// each is the slowest of about half of the clips, by little, and in about half of their steps; a
// throttled device is so in nearly all of them.

// slowNodes lists who was the slowest rank of clips, the most often first, in the order of names
// among equals.
func slowNodes(done []Request) []SlowNode {
	found := map[string]*SlowNode{}
	for _, q := range done {
		if q.PerRank == nil {
			continue
		}

		s := q.PerRank.Slowest
		name := cmp.Or(s.Node, "rank "+strconv.Itoa(s.Rank))
		if found[name] == nil {
			found[name] = &SlowNode{Node: name}
		}
		n := found[name]
		n.Clips++
		n.Ratio += (s.Ratio - n.Ratio) / float64(n.Clips)
		n.Steps += (s.Steps - n.Steps) / float64(n.Clips)
	}

	// Sorted twice, so that the same clips make the same list.
	var out []SlowNode
	for _, name := range slices.Sorted(maps.Keys(found)) {
		out = append(out, *found[name])
	}
	slices.SortStableFunc(out, func(a, b SlowNode) int { return b.Clips - a.Clips })
	return out[:min(len(out), nodesMax)]
}

// shareOf is the part of its steps that a clip's ranks waited.
func shareOf(q Request) (float64, bool) {
	if q.PerRank == nil {
		return 0, false
	}
	return q.PerRank.CommunicationShare, true
}

// A clip of one rank has nobody to wait for, so it is in no figure of ranks: a share of 0 would
// lower the mean of those that have several.

// ofRanks returns the clips that say what their ranks did.
func ofRanks(done []Request) []Request {
	return slices.DeleteFunc(slices.Clone(done), func(q Request) bool { return q.PerRank == nil })
}

// ranksChart shows what the median rank does in the steps of fast and slow clips: it computes, it
// waits for as long as the slowest rank computes longer, and it waits for what else there is: the
// way of messages, and ranks that are slow in turn.
func ranksChart(done []Request) plot.Bars {
	groups, label := tenths(done)
	most := 0.0
	for _, q := range done {
		most = max(most, q.PerRank.Compute.Median+q.PerRank.Wait.Median)
	}

	unit, by := timeUnit(most)
	b := plot.Bars{Title: "What the median rank does in a clip's steps", X: plot.Axis{Label: label},
		Y: plot.Axis{Label: "time (" + unit + ")"}, Parts: []plot.Part{{Name: "computes"},
			{Name: "waits for the slowest"}, {Name: "waits for messages"}}}

	// Values are means over the clips of a group.
	for i, group := range groups {
		b.Names = append(b.Names, strconv.Itoa(i+1))
		var v [3]float64
		for _, q := range group {
			p, n := q.PerRank, float64(len(group))*by
			slower := min(p.Wait.Median, max(0, p.Compute.Max-p.Compute.Median))
			v[0] += p.Compute.Median / n
			v[1] += slower / n
			v[2] += (p.Wait.Median - slower) / n
		}
		for j := range v {
			b.Parts[j].Values = append(b.Parts[j].Values, v[j])
		}
	}

	return b
}
