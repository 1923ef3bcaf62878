package coord

import (
	"strings"
	"testing"
	"time"
)

// TestASeedIsDrawnOnce has all ranks of all attempts use the seed that the client was told.
func TestASeedIsDrawnOnce(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	rec, err := c.Create(t.Context(), request(2))
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Create(t.Context(), request(2))
	if err != nil || other.Spec.Seed == rec.Spec.Seed {
		t.Fatalf("two clips have the seed %d: %v", rec.Spec.Seed, err)
	}
	for _, s := range []uint64{a.told().Plan.Spec.Seed, b.told().Plan.Spec.Seed} {
		if s != rec.Spec.Seed {
			t.Errorf("a rank has the seed %d, the client was told %d", s, rec.Spec.Seed)
		}
	}
	b.leave()
	if again := a.told(); again.Plan.Job != rec.ID || again.Plan.Spec.Seed != rec.Spec.Seed {
		t.Errorf("job %s goes on with the seed %d", again.Plan.Job, again.Plan.Spec.Seed)
	}
}

// TestALongStepIsNotWaitedFor has an urgent job come while a step of another one goes on and on.
func TestALongStepIsNotWaitedFor(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Timing.Yield = 50 * time.Millisecond
	c := start(t, cfg)
	a := fake(t, c, "a")
	a.hangs = true // it computes, whatever it is told
	id := create(t, c, request(1))
	a.told()
	urgent := request(1)
	urgent.Priority = 1
	next := create(t, c, urgent)
	if l := untilLost(t, c, id, 1); !l.Planned || !strings.Contains(l.Reason, string(next)) {
		t.Errorf("%+v", l)
	}
}
