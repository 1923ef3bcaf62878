package engine

import (
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
)

// TestSparseClipsAreTheSameOnAnyMesh makes a clip of 864 tokens, three tiles, on one rank, and from
// a checkpoint on on four. A pattern has to change it.
func TestSparseClipsAreTheSameOnAnyMesh(t *testing.T) {
	if testing.Short() {
		t.Skip("a clip of four times the tokens of others; left out in short runs")
	}
	s, dir := spec(golden.Open(t, "twin_t2v")), golden.Twin(t, "t2v")
	s.Width, s.Height, s.Frames, s.Steps = 192, 128, 33, 3
	var at []job.Checkpoint
	objects := artifact.NewMemory()
	run := func(pattern string, m job.Mesh, from job.Checkpoint) string {
		s.SparseAttention = pattern
		engines := make([]*Engine, m.Size())
		for r := range engines {
			engines[r] = blind(engineIn(t, compute.FP32, 1+r%2, dir))
		}
		plan := job.Plan{Spec: s, Mesh: m, Resume: from, CheckpointEvery: 1}
		return attempt(t, engines, inMemory(t, m.Size()), plan, objects, func(k *testRank) {
			if k.Rank == 0 && pattern == "window:1" && from.Step == 0 {
				k.everyCheckpoint(t, func(c job.Checkpoint) { at = append(at, c) })
			}
		}).LatentsSHA256
	}

	one := job.Mesh{CFG: 1, Ulysses: 1}
	want := run("window:1", one, job.Checkpoint{})
	if dense := run("off", one, job.Checkpoint{}); dense == want {
		t.Error("a window of one frame changes nothing")
	}
	if got := run("window:1", job.Mesh{CFG: 2, Ulysses: 2}, at[0]); got != want {
		t.Errorf("from step %d on: latents %.12s, on one rank %.12s", at[0].Step, got, want)
	}
}

// TestListsOfKeysFollowThePattern looks at the lists of a clip's windows.
func TestListsOfKeysFollowThePattern(t *testing.T) {
	s := spec(golden.Open(t, "twin_t2v"))
	s.Width, s.Height, s.Frames, s.Steps = 192, 128, 49, 8
	e := engineIn(t, compute.FP32, 1, golden.Twin(t, "t2v"))
	for pattern, share := range map[string]float64{"": 0, "off": 0, "window:1": 12. / 16,
		"window:12": 0, "radial": 14. / 16} {
		s.SparseAttention = pattern
		g := latentGrid(e.folder, s)
		r := &run{e: e, grid: g, denoised: g, Assignment: Assignment{Plan: job.Plan{Spec: s}}}
		window := r.grid.Timeline(0, 0, false).Windows(0)[0]
		for step := range 10 {
			tiles, err := r.keyTiles(step, window)
			if err != nil {
				t.Fatal(err)
			}
			got := 0.
			if tiles != nil {
				got = tiles.Share()
			}
			if want := share; step%8 < 2 && got != 0 || step%8 >= 2 && got != want {
				t.Errorf("%q, step %d: %v of all pairs, want %v", pattern, step, got, want)
			}
		}
	}

	s.SparseAttention = "window:x"
	g := latentGrid(e.folder, s)
	r := &run{e: e, grid: g, denoised: g, Assignment: Assignment{Plan: job.Plan{Spec: s}}}
	if _, err := r.keyTiles(7, r.grid.Timeline(0, 0, false).Windows(0)[0]); err == nil {
		t.Error("an unknown pattern was taken for all keys")
	}
}
