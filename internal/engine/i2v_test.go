package engine

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/underrace"
)

// storedPicture stores golden.Picture as an input.
func storedPicture(t testing.TB, objects artifact.Store, role job.Role, w, h, seed int) job.Input {
	t.Helper()
	_, data := golden.Picture(t, w, h, seed)
	o, err := objects.Put(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return job.Input{Role: role, Kind: job.KindImage, Object: o}
}

// pictured are clips of the reference that are made from pictures.
var pictured = []struct {
	twin, golden string
	first, last  [3]int // width, height and seed of the pictures
	given        int    // latent frames that the first picture gives
}{
	{"i2v", "twin_i2v", [3]int{48, 32, 1}, [3]int{}, 0},
	{"i2v", "twin_i2v_last", [3]int{48, 32, 1}, [3]int{48, 32, 2}, 0},
	{"i2v_clip", "twin_i2v_clip", [3]int{120, 80, 1}, [3]int{}, 0},
	{"flf2v", "twin_flf2v", [3]int{48, 32, 1}, [3]int{96, 64, 3}, 0},
	{"ti2v", "twin_ti2v", [3]int{64, 32, 1}, [3]int{}, 1},
}

// picturedSpec is the spec of the i-th of them, with its pictures stored.
func picturedSpec(t testing.TB, i int, objects artifact.Store) job.Spec {
	t.Helper()
	c, s := pictured[i], spec(golden.Open(t, pictured[i].golden))
	first := storedPicture(t, objects, job.RoleStart, c.first[0], c.first[1], c.first[2])
	first.Latents = c.given
	s.Inputs = []job.Input{first}
	if c.last[0] > 0 {
		s.Inputs = append(s.Inputs,
			storedPicture(t, objects, job.RoleLast, c.last[0], c.last[1], c.last[2]))
	}
	return s
}

// TestPicturesMakeTheReferencesClips holds clips from pictures to diffusers: latents within 1e-5,
// frames within 60 dB.
func TestPicturesMakeTheReferencesClips(t *testing.T) {
	underrace.Skip(t, "one rank; the test below has several")
	for i, c := range pictured {
		t.Run(c.golden, func(t *testing.T) {
			objects := artifact.NewMemory()
			e := engineIn(t, compute.FP32, 2, golden.Twin(t, c.twin))
			res := attempt(t, []*Engine{e}, inMemory(t, 1), job.Plan{Spec: picturedSpec(t, i, objects),
				Mesh: job.Mesh{CFG: 1, Ulysses: 1}}, objects, nil)
			nearReference(t, golden.Open(t, c.golden), res, objects, 1e-5)
		})
	}
}

// TestClipsFromPicturesHaveOneSetOfBits makes them on several meshes, as a whole and in windows,
// and resumes each attempt on another mesh from its first checkpoint, with what it has kept.
func TestClipsFromPicturesHaveOneSetOfBits(t *testing.T) {
	for i, c := range pictured {
		if c.golden == "twin_i2v_last" || c.golden == "twin_i2v_clip" {
			continue // as the others, with fewer frames or pictures
		}
		t.Run(c.golden, func(t *testing.T) {
			if c.golden != "twin_flf2v" {
				underrace.Skip(t, "twin_flf2v has all kinds of pictures that ranks share")
			}
			objects, dir := artifact.NewMemory(), golden.Twin(t, c.twin)
			engines := make([]*Engine, 4)
			for k := range engines {
				engines[k] = blind(engineIn(t, compute.FP32, 1+k%2, dir))
			}
			whole := picturedSpec(t, i, objects)
			whole.Steps = 2
			windows := whole
			windows.Window, windows.Overlap = 2, 1
			for _, s := range []job.Spec{whole, windows} {
				sameOnAnyMesh(t, engines, s, objects)
			}
		})
	}
}

// sameOnAnyMesh makes a clip on meshes of up to all engines, and wants the same latents and
// frames.
func sameOnAnyMesh(t *testing.T, engines []*Engine, s job.Spec, objects artifact.Store) {
	t.Helper()
	var want job.Result
	for _, m := range []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 2},
		{Window: 2, CFG: 1, Ulysses: 1}} {
		if m.Window > 1 && s.Window == 0 {
			continue
		}
		world, half, parts := engines[:m.Size()], job.Checkpoint{}, map[string]job.Object{}
		var mu sync.Mutex
		got := attempt(t, world, inMemory(t, m.Size()), job.Plan{Spec: s, Mesh: m, CheckpointEvery: 1},
			objects, func(k *testRank) {
				k.keepPart = func(_ context.Context, name string, o job.Object) error {
					mu.Lock()
					defer mu.Unlock()
					if name != job.PartLatents {
						parts[name] = o
					}
					return nil
				}
				if k.Rank == 0 {
					k.everyCheckpoint(t, func(c job.Checkpoint) {
						if c.Step == 1 {
							half = c
						}
					})
				}
			})
		if want.LatentsSHA256 == "" {
			want = got
		}
		if got.LatentsSHA256 != want.LatentsSHA256 || got.Video != want.Video {
			t.Errorf("%s, windows of %d: latents %.12s, on one rank %.12s", m, s.Window,
				got.LatentsSHA256, want.LatentsSHA256)
		}

		if m.Ulysses == 1 {
			continue
		}

		// Pictures that are gone do not matter to an attempt that has what was made of them.
		again := s
		again.Inputs = slices.Clone(s.Inputs)
		for i := range again.Inputs {
			again.Inputs[i].Object.Name = "gone"
		}
		got = attempt(t, engines[:1], inMemory(t, 1), job.Plan{Spec: again, Resume: half, Parts: parts,
			Mesh: job.Mesh{CFG: 1, Ulysses: 1}}, objects, nil)
		if half.Step != 1 || got.LatentsSHA256 != want.LatentsSHA256 {
			t.Errorf("%s, from step %d with parts %v: latents %.12s, undisturbed %.12s", m, half.Step,
				slices.Sorted(maps.Keys(parts)), got.LatentsSHA256, want.LatentsSHA256)
		}
	}
}

// TestDamagedPartsOfPicturesAreMadeAgain replaces what was made of the pictures by other bytes.
func TestDamagedPartsOfPicturesAreMadeAgain(t *testing.T) {
	const clip = 2 // with CLIP and a condition
	a := newAttempts(t, job.Mesh{CFG: 1, Ulysses: 1})
	a.engines[0] = engineIn(t, compute.FP32, 1, golden.Twin(t, pictured[clip].twin))
	a.plan.Spec = picturedSpec(t, clip, a.objects)
	a.plan.Spec.Steps = 2
	first := a.run()
	for _, name := range []string{job.PartCondition, job.PartPictures} {
		if _, ok := a.parts[name]; !ok {
			t.Fatalf("parts %v lack %s", a.parts, name)
		}
		a.damage(name)
		delete(a.parts, job.PartLatents)
		a.notes = nil
		if again := a.run(); again.LatentsSHA256 != first.LatentsSHA256 {
			t.Errorf("%s: latents %.12s, not %.12s", name, again.LatentsSHA256, first.LatentsSHA256)
		}
		if !strings.Contains(strings.Join(a.notes, "\n"), "part "+name+" is made again") {
			t.Errorf("%s: notes %q", name, a.notes)
		}
	}
}
