package engine

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/underrace"
)

// attempts runs one job's attempts on one mesh, as a cluster would, and keeps its parts.
type attempts struct {
	t       *testing.T
	engines []*Engine
	plan    job.Plan
	objects *artifact.Memory
	mu      sync.Mutex
	parts   map[string]job.Object
	notes   []string
	stages  map[job.Stage]bool // of the latest attempt
	preview func(ctx context.Context, step int, data []byte) error
	texts   Texts
}

func newAttempts(t *testing.T, m job.Mesh) *attempts {
	a := &attempts{t: t, objects: artifact.NewMemory(), parts: map[string]job.Object{},
		texts: Texts{Scope: "tiny5", Cluster: forAll(&clusterCache{})}}
	s := spec(golden.Open(t, "tiny5_e2e"))
	s.Steps = 2
	a.plan = job.Plan{Job: "video_test", Spec: s, Mesh: m, CheckpointEvery: 100,
		Nodes: make([]job.NodeID, m.Size())}
	for range m.Size() {
		a.engines = append(a.engines, engine(t, 1, "testdata", "golden", "tiny5"))
	}
	return a
}

// run is the next attempt, with the parts of those before.
func (a *attempts) run() job.Result {
	a.t.Helper()
	a.plan.Attempt++
	a.plan.Parts = maps.Clone(a.parts)
	a.stages = map[job.Stage]bool{}
	n := len(a.engines)
	world := inMemory(a.t, n)
	results, errs := make([]job.Result, n), make([]error, n)
	var wg sync.WaitGroup
	for r := range n {
		wg.Go(func() {
			k := a.rank(r, world[r])
			if results[r], errs[r] = k.run(context.Background(), a.engines[r]); errs[r] != nil {
				world[r].Close()
			}
		})
	}
	wg.Wait()
	for r, err := range errs {
		if err != nil {
			a.t.Fatalf("rank %d: %v", r, err)
		}
	}
	return results[0]
}

func (a *attempts) rank(r int, tr collective.Transport) *testRank {
	return &testRank{
		Assignment{Plan: a.plan, Rank: r, Transport: tr, Objects: a.objects, TempDir: a.t.TempDir(),
			PreviewBytesMax: 256 << 10, Texts: a.texts},
		testHost{keepPart: a.kept, warn: a.note, progress: a.progress, publish: a.preview}}
}

func (a *attempts) kept(_ context.Context, name string, o job.Object) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parts[name] = o
	return nil
}

func (a *attempts) note(what string, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes = append(a.notes, what)
}

func (a *attempts) progress(p job.Progress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stages[p.Stage] = true
}

// dropTextEncoder takes the text encoder away: an attempt that calls it panics.
func (a *attempts) dropTextEncoder() {
	for _, e := range a.engines {
		e.text = nil
	}
}

// damage replaces a part's bytes.
func (a *attempts) damage(name string) {
	o := a.parts[name]
	if err := a.objects.Delete(a.t.Context(), o); err != nil {
		a.t.Fatal(err)
	}
	wrong, err := a.objects.Put(a.t.Context(), strings.NewReader("rubbish"))
	if err != nil {
		a.t.Fatal(err)
	}
	o.Name = wrong.Name
	a.parts[name] = o
}

var partMeshes = []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 2}}

// TestALaterAttemptDoesNoStageTwice takes the text encoder, then the transformer away.
func TestALaterAttemptDoesNoStageTwice(t *testing.T) {
	for _, m := range partMeshes {
		t.Run(m.String(), func(t *testing.T) {
			a := newAttempts(t, m)
			first := a.run()
			if len(a.parts) != 1 || a.parts[job.PartLatents] != first.Latents {
				t.Fatalf("parts %v; want the latents %v", a.parts, first.Latents)
			}
			a.dropTextEncoder()
			delete(a.parts, job.PartLatents)
			if again := a.run(); again.LatentsSHA256 != first.LatentsSHA256 {
				t.Errorf("with the text kept: latents %.12s, not %.12s", again.LatentsSHA256,
					first.LatentsSHA256)
			}
			again := a.run()
			if again.LatentsSHA256 != first.LatentsSHA256 || again.Video != first.Video ||
				again.Latents != first.Latents || again.ContentType != first.ContentType {
				t.Errorf("with the latents kept: %+v, not %+v", again, first)
			}
			if a.stages[job.StageText] || a.stages[job.StageDenoise] || !a.stages[job.StageDecode] {
				t.Errorf("with the latents kept the stages were %v", a.stages)
			}
			if len(a.notes) > 0 {
				t.Errorf("notes %v", a.notes)
			}
		})
	}
}

// TestADamagedPartIsMadeAgain spoils the finished latents.
func TestADamagedPartIsMadeAgain(t *testing.T) {
	// The second mesh has the same goroutines, four times: TestALaterAttemptDoesNoStageTwice.
	for _, m := range underrace.Some(partMeshes, 1) {
		t.Run(m.String(), func(t *testing.T) {
			a := newAttempts(t, m)
			first := a.run()
			a.damage(job.PartLatents)
			if again := a.run(); again.LatentsSHA256 != first.LatentsSHA256 {
				t.Errorf("latents %.12s, not %.12s", again.LatentsSHA256, first.LatentsSHA256)
			}
			if !strings.Contains(strings.Join(a.notes, "\n"), job.PartLatents+" is made again") {
				t.Errorf("notes %q", a.notes)
			}
		})
	}
}

func TestNoPartsWithoutCheckpoints(t *testing.T) {
	a := newAttempts(t, partMeshes[0])
	a.plan.CheckpointEvery = 0
	if a.run(); len(a.parts) > 0 {
		t.Errorf("parts %v", a.parts)
	}
}
