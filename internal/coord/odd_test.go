package coord

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// TestCountsThatDoNotFit asks for meshes that a model of 6 heads, and clips of few tokens, cannot
// have, and has as many shards as fit where nothing is asked for.
func TestCountsThatDoNotFit(t *testing.T) {
	one, four := 1.0, 4.0
	small, frames, long := 32, 5, 33
	of := func(shards int, mesh job.Mesh, scale *float64, frames *int) job.Request {
		return job.Request{Prompt: "a", Width: &small, Height: &small, Frames: frames, Shards: shards,
			Mesh: mesh, GuidanceScale: scale}
	}
	for name, c := range map[string]struct {
		r     job.Request
		free  int
		field string // "": it fits
		want  int    // ranks
	}{
		"more shards than heads": {of(7, job.Mesh{}, &one, &long), 9, "shards", 0},
		"two branches of them":   {of(12, job.Mesh{}, &four, &long), 12, "", 12},
		"more than both":         {of(13, job.Mesh{}, &four, &long), 13, "shards", 0},
		"many free, none asked":  {of(0, job.Mesh{}, &one, &long), 64, "", 6},
		"8 tokens on 3":          {of(3, job.Mesh{}, &one, &frames), 3, "", 3},
		"8 tokens on 5":          {of(5, job.Mesh{}, &one, &frames), 5, "", 5},
		"8 tokens on 7":          {of(7, job.Mesh{}, &one, &frames), 7, "shards", 0},
		"cfg without guidance":   {of(0, job.Mesh{CFG: 2, Ulysses: 1}, &one, &long), 2, "mesh", 0},
		"cfg with guidance":      {of(0, job.Mesh{CFG: 2, Ulysses: 3}, &four, &long), 6, "", 6},
		"ulysses beyond heads":   {of(0, job.Mesh{CFG: 1, Ulysses: 7}, &one, &long), 7, "mesh", 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := demo()
			s, err := m.Resolve(c.r, meshCheck(m))
			var f *job.FieldError
			if c.field == "mesh" {
				if !errors.As(err, &f) || f.Field != "mesh" {
					t.Fatalf("refused with %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mesh, err := plan.Mesh(m, s, c.free)
			if (err == nil) != (c.field == "") || err == nil && mesh.Size() != c.want {
				t.Errorf("%s of %d ranks: %v", mesh, mesh.Size(), err)
			}
		})
	}
}

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
