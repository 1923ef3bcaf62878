package coord

import (
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

func nodesOf(speeds ...float64) []*node {
	out := make([]*node, len(speeds))
	for i, s := range speeds {
		out[i] = &node{beat: wire.Heartbeat{Speed: s}}
	}
	return out
}

func TestSharesFollowMeasuredSpeeds(t *testing.T) {
	f := func(m job.Mesh, want []float64, speeds ...float64) {
		t.Helper()
		if got := shares(m, nodesOf(speeds...)); !slices.Equal(got, want) {
			t.Errorf("%v with %v: %v, want %v", m, speeds, got, want)
		}
	}
	f(job.Mesh{Window: 2, CFG: 1, Ulysses: 1}, []float64{4, 1}, 4, 1)
	f(job.Mesh{Window: 2, CFG: 2, Ulysses: 1}, []float64{3, 1}, 4, 3, 1, 2)
	f(job.Mesh{Window: 2, CFG: 1, Ulysses: 1}, nil, 1.2, 1)
	f(job.Mesh{Window: 2, CFG: 1, Ulysses: 1}, nil, 4, 0)
	f(job.Mesh{Window: 2, CFG: 1, Ulysses: 2}, nil, 4, 4, 1, 1)
	f(job.Mesh{CFG: 2, Ulysses: 1}, nil, 4, 1)
}

func TestUnevenSharesAreFaster(t *testing.T) {
	speeds := []float64{3, 1}
	if a, b := slowest(40, speeds, nil), slowest(40, speeds, speeds); a != 20 || b != 10 {
		t.Errorf("even %v, uneven %v", a, b)
	}
}
