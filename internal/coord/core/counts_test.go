package core

import (
	"errors"
	"testing"

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
			mesh, err := plan.Mesh(m, s, c.free, 0)
			if (err == nil) != (c.field == "") || err == nil && mesh.Size() != c.want {
				t.Errorf("%s of %d ranks: %v", mesh, mesh.Size(), err)
			}
		})
	}
}
