package topology

import (
	"reflect"
	"testing"

	"github.com/longtake/longtake/internal/partition"
)

// TestVelocitiesAreRemembered asks again and again for clips that differ in one thing each, so that
// what is remembered of one would be wrong for another.
func TestVelocitiesAreRemembered(t *testing.T) {
	long := partition.Timeline{Frames: 90, PerFrame: 8, Window: 21, Overlap: 5}
	other, uniform := long, long
	other.Overlap, uniform.Uniform = 7, true
	loads := []partition.Load{{Timeline: long, TokenWidth: 64}, {Timeline: other, TokenWidth: 64},
		{Timeline: uniform, TokenWidth: 64}, {Timeline: long, TokenWidth: 16},
		{Timeline: long, TokenWidth: 64, Guided: true}}
	meshes := []partition.Mesh{{CFG: 1, Ulysses: 4}, {Window: 2, CFG: 1, Ulysses: 2},
		{Window: 2, CFG: 2, Ulysses: 2}}

	for range 2 {
		for _, l := range loads {
			for _, m := range meshes {
				want := partition.Velocities(m, l, nil)
				if got := evenVelocities(m, l); !reflect.DeepEqual(got, want) {
					t.Errorf("%+v on %v: %v; want %v", l, m, got, want)
				}
			}
		}
	}
}

// TestWhatIsRememberedIsBounded has more pairs than are kept.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	defer func(sum int) { counted.sum = sum }(counted.sum)
	counted.sum = countedMost
	l := partition.Load{Timeline: partition.Timeline{Frames: 90, PerFrame: 8, Window: 21, Overlap: 5},
		TokenWidth: 7}
	evenVelocities(partition.Mesh{Window: 2, CFG: 1, Ulysses: 1}, l)
	if len(counted.pairs) != 1 || counted.sum > countedMost {
		t.Errorf("%d lists of %d pairs are kept", len(counted.pairs), counted.sum)
	}
}
