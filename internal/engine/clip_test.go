package engine

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/underrace"
)

// long is a WebM of 8 seconds and a frame, tall enough for several ranks to decode it.
func (a *attempts) long() *attempts {
	a.plan.Spec = tall(a.t)
	// A fraction, so that parts are not whole seconds.
	a.plan.Spec.Format, a.plan.Spec.Frames, a.plan.Spec.FPS = "webm", 33, 4000./1001
	return a
}

// on has the next attempts run on another mesh.
func (a *attempts) on(m job.Mesh) {
	a.plan.Mesh, a.plan.Nodes, a.engines = m, make([]job.NodeID, m.Size()), nil
	for range m.Size() {
		a.engines = append(a.engines, engine(a.t, 1, "testdata", "golden", "tiny5"))
	}
}

// dropDecoder takes the VAE's decoder away: an attempt that calls it panics.
func (a *attempts) dropDecoder() {
	for _, e := range a.engines {
		e.decoder = nil
	}
}

// stored counts the seconds that are kept.
func (a *attempts) stored() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(job.Plan{Parts: a.parts}.Seconds())
}

// keepSeconds forgets the seconds of the clip from the n-th part on.
func (a *attempts) keepSeconds(n int) {
	for name := range a.parts {
		if strings.HasPrefix(name, job.PartVideo) && name >= job.VideoPart(n) {
			delete(a.parts, name)
		}
	}
}

// TestDecodingGoesOn has an attempt find any number of seconds that another one, on another mesh,
// has stored: it makes the same file and decodes the rest alone.
func TestDecodingGoesOn(t *testing.T) {
	underrace.Skip(t, "TestDeathsWhileDecoding keeps seconds and takes them over, too")
	a := newAttempts(t, partMeshes[0]).long()
	first := a.run()
	for i := 0; i < 30 && a.stored() == 8; i++ {
		a.run() // the last second is stored only if it comes before the clip
	}
	if a.stored() != 9 || first.FramesReused != 0 {
		t.Fatalf("%d parts, %d frames taken over; want 9 and none", a.stored(), first.FramesReused)
	}
	for i, n := range []int{9, 8, 5, 1, 0} {
		m := []job.Mesh{{CFG: 1, Ulysses: 3}, {CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 1}}[i%3]
		t.Run(fmt.Sprintf("%d parts on %v", n, m), func(t *testing.T) {
			a.t = t
			a.on(m)
			if a.keepSeconds(n); n == 9 {
				a.dropDecoder()
			}
			again := a.run()
			if again.Video != first.Video || again.Latents != first.Latents {
				t.Errorf("video %.20s, not %.20s", again.Video.Name, first.Video.Name)
			}
			if want := min(4*n, 33); again.FramesReused != want {
				t.Errorf("%d frames taken over, not %d", again.FramesReused, want)
			}
			if len(a.notes) > 0 {
				t.Errorf("notes %v", a.notes)
			}
		})
	}
}

// TestADamagedSecondIsDecodedAgain spoils a part in the middle: what is before it is taken over.
func TestADamagedSecondIsDecodedAgain(t *testing.T) {
	underrace.Skip(t, "TestDeathsWhileDecoding keeps seconds and takes them over, too")
	a := newAttempts(t, partMeshes[0]).long()
	first := a.run()
	a.damage(job.VideoPart(3))
	again := a.run()
	if again.Video != first.Video || again.FramesReused != 12 {
		t.Errorf("video %.20s with %d frames taken over, not %.20s with 12", again.Video.Name,
			again.FramesReused, first.Video.Name)
	}
	for _, said := range []string{strings.Join(a.notes, "\n"), strings.Join(again.Notices, "\n")} {
		if !strings.Contains(said, job.VideoPart(3)) {
			t.Errorf("%s is not told of: %q", job.VideoPart(3), said)
		}
	}
}

// TestSecondsOfAnotherClip puts what is no beginning of the clip in its first part's place: the
// whole is decoded, and told of.
func TestSecondsOfAnotherClip(t *testing.T) {
	underrace.Skip(t, "TestDeathsWhileDecoding keeps seconds and takes them over, too")
	a := newAttempts(t, partMeshes[0]).long()
	first := a.run()
	a.parts[job.VideoPart(0)] = a.parts[job.VideoPart(1)]
	if again := a.run(); again.Video != first.Video || again.FramesReused != 0 || len(a.notes) == 0 {
		t.Errorf("video %.20s with %d frames taken over, not %.20s with none; notes %v",
			again.Video.Name, again.FramesReused, first.Video.Name, a.notes)
	}
}

// TestDeathsWhileDecoding ends attempts in the middle of decoding, each with other ranks than the
// one before. The last one makes the file that an undisturbed run makes, and no part twice.
func TestDeathsWhileDecoding(t *testing.T) {
	whole := newAttempts(t, partMeshes[0]).long()
	want := whole.run()
	a := newAttempts(t, partMeshes[0]).long()
	meshes := []job.Mesh{{CFG: 1, Ulysses: 2}, {CFG: 1, Ulysses: 1}, {CFG: 1, Ulysses: 3}}
	for i, m := range underrace.Some(meshes, 1) { // ranks end in the same way each time
		a.on(m)
		a.dies(3 + 2*i)
	}
	stored := a.stored()
	got := a.run()
	if got.Video != want.Video || got.Latents != want.Latents || got.FramesReused != 4*stored {
		t.Errorf("video %.20s with %d frames taken over, not %.20s with %d", got.Video.Name,
			got.FramesReused, want.Video.Name, 4*stored)
	}
}

// dies runs an attempt whose ranks end, all at once, when so many seconds are stored.
func (a *attempts) dies(seconds int) {
	a.t.Helper()
	a.plan.Attempt++
	a.plan.Parts = maps.Clone(a.parts)
	world := inMemory(a.t, len(a.engines))
	ctx, cancel := context.WithCancel(a.t.Context())
	defer cancel()
	errs := make([]error, len(a.engines))
	var wg sync.WaitGroup
	for r, e := range a.engines {
		wg.Go(func() {
			k := a.rank(r, world[r])
			k.progress = func(p job.Progress) {
				if r != 0 || p.Stage != job.StageDecode || p.Done <= 4*seconds {
					return
				}
				for end := time.Now().Add(20 * time.Second); a.stored() < seconds; {
					if time.Now().After(end) {
						a.t.Errorf("%d frames are decoded, %d seconds stored", p.Done, a.stored())
						break
					}
					time.Sleep(time.Millisecond)
				}
				cancel()
			}
			_, errs[r] = k.run(ctx, e)
			world[r].Close()
		})
	}
	wg.Wait()
	if errs[0] == nil {
		a.t.Fatal("the attempt came to its end")
	}
}
