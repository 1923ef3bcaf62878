package serve

import (
	"math"

	"github.com/longtake/longtake/internal/bench/result"
)

// A search ends, whatever the server does. Twelve doublings are a factor of 4096. A server that
// does not keep up with a sixteenth of the rate at which it makes single clips keeps up with none:
// lower rates would only take longer, each twice as long as the one before.
const (
	searchPoints   = 24
	searchHalvings = 4
)

// Saturation is looked for from below, and from what the server itself does: a rate that is far too
// high leaves a queue behind that takes as long to end as the point did. Each point starts with an
// empty server, as the one before ends with its last clip.

// search finds the highest rate that a server keeps up with: it doubles (or halves) the rate until
// one point keeps up and one is saturated, then halves the ratio between those two, by the
// geometric mean, until it is below 1 + precision. RFC 2544 finds the throughput of a network
// device alike.
type search struct {
	precision float64
	next      float64 // rate of the next point; 0: there is none
	points    int
	halved    int     // times, without a point that was kept up with
	low, high float64 // kept up with, saturated; 0: none yet
}

// newSearch begins at a rate, in clips a second.
func newSearch(first, precision float64) *search {
	return &search{precision: precision, next: within(first)}
}

// within keeps a rate between what a setup may have.
func within(rate float64) float64 { return min(max(rate, rateMin), RateMax) }

// Rates are narrowed down by their ratio and not by their difference: 10 % of a clip an hour and 10
// % of a clip a second are found with as many points.

// take learns what the point of the next rate came to, and chooses the one after it. A point that
// is not clear counts as kept up with: a higher rate shows more.
func (s *search) take(verdict string) {
	rate := s.next
	s.points++
	if verdict == result.Saturated {
		s.high = rate
	} else {
		s.low = rate
	}

	switch {
	case s.points >= searchPoints:
		s.next = 0
	case s.high == 0:
		s.next = within(2 * rate)
	case s.low == 0 && s.halved >= searchHalvings:
		s.next = 0
	case s.low == 0:
		s.halved++
		s.next = within(rate / 2)
	case s.high/s.low <= 1+s.precision:
		s.next = 0
	default:
		s.next = math.Sqrt(s.low * s.high)
	}

	if s.next == rate { // the end of what is allowed
		s.next = 0
	}
}
