package engine

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
	"github.com/longtake/longtake/internal/underrace"
)

// extendable is what the control plane would know of a tiny model that goes on from given latents.
func extendable() job.Model {
	return job.Model{Name: "tiny", Patch: [3]int{1, 2, 2}, TemporalScale: 4, SpatialScale: 8,
		Extends: true, Defaults: job.Defaults{Width: 32, Height: 48, Frames: 21, FPS: 16, Steps: 2,
			GuidanceScale: 4, FlowShift: 3, Window: 6, Overlap: 2}}
}

// resolved is the spec of a clip of so many latent frames.
func resolved(t testing.TB, latents int, start ...job.Input) job.Spec {
	t.Helper()
	frames, seed := 4*(latents-1)+1, uint64(5)
	s, err := extendable().Resolve(job.Request{Prompt: "a red ball", Frames: &frames, Seed: &seed,
		Long: job.LongExtend, Inputs: start, Format: "png"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var startMeshes = []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 1, Ulysses: 3}, {CFG: 2, Ulysses: 1},
	{CFG: 2, Ulysses: 2}}

func tinies(t testing.TB, n int) []*Engine {
	engines := make([]*Engine, n)
	for r := range engines {
		engines[r] = blind(engine(t, 1+r%2, "testdata", "golden", "tiny3"))
	}
	return engines
}

// makeClip makes a clip among objects that are there.
func makeClip(t testing.TB, s job.Spec, m job.Mesh, objects artifact.Store) job.Result {
	t.Helper()
	return attempt(t, tinies(t, m.Size()), inMemory(t, m.Size()), job.Plan{Spec: s, Mesh: m}, objects,
		nil)
}

// head returns the first frames of a latent [C, T, H, W] that has `of` of them.
func head(x []float32, of, frames int) []float32 {
	const channels = 16
	var out []float32
	n := len(x) / channels / of
	for c := range channels {
		out = append(out, x[c*of*n:(c*of+frames)*n]...)
	}
	return out
}

// TestTwoCallsEqualOne makes clips in two goes that end where a window does, on several meshes: the
// result has the bytes of the clip made in one go. Wherever the first go ends, what it made comes
// back untouched.
func TestTwoCallsEqualOne(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes more than a dozen clips, one after the other")
	}
	objects := artifact.NewMemory()
	one := makeClip(t, resolved(t, 16), startMeshes[0], objects)
	for i, n := range []int{6, 10, 14, 4, 8, 1} { // windows end at 6, 10 and 14
		first := makeClip(t, resolved(t, n), startMeshes[0], objects)
		before := latentsOf(t, objects, first)
		start := job.Input{Role: job.RoleStart, Kind: job.KindLatents, Object: first.Latents,
			Latents: n}
		s := resolved(t, 16, start)
		if blocks := len(plan.Timeline(latentGrid(tinies(t, 1)[0].folder, s), s).Windows(0)); s.Blocks != blocks {
			t.Errorf("after %d latents: %d blocks, the timeline has %d", n, s.Blocks, blocks)
		}
		m := startMeshes[i%len(startMeshes)]
		two := makeClip(t, s, m, objects)
		if !slices.Equal(head(latentsOf(t, objects, two), 16, n), before) {
			t.Errorf("%s: the %d given latents have changed", m, n)
		}
		if aligned := n >= 6 && n%4 == 2; aligned && (two.LatentsSHA256 != one.LatentsSHA256 ||
			two.Video != one.Video) {
			t.Errorf("%s: %d latents extended to 16 have SHA-256 %.12s, in one go %.12s", m, n,
				two.LatentsSHA256, one.LatentsSHA256)
		}
	}
}

// TestBlocksAreCountedAsTheyAreMade wants the control plane's count to be the timeline's, and the
// windows to lie where those of the clip made in one go do, if what is given ends with one.
func TestBlocksAreCountedAsTheyAreMade(t *testing.T) {
	folder := tinies(t, 1)[0].folder
	rapid.Check(t, func(rt *rapid.T) {
		window := rapid.IntRange(2, 9).Draw(rt, "window")
		overlap := rapid.IntRange(1, window-1).Draw(rt, "overlap")
		given := rapid.IntRange(1, 40).Draw(rt, "given")
		frames := 4*(given+rapid.IntRange(1, 40).Draw(rt, "added")-1) + 1
		o := job.Object{Name: "o", SHA256: strings.Repeat("0", 64)}
		s, err := extendable().Resolve(job.Request{Frames: &frames, Window: &window, Overlap: &overlap,
			Inputs: []job.Input{{Role: job.RoleStart, Kind: job.KindLatents, Object: o,
				Latents: given}}}, nil)
		if err != nil {
			rt.Fatal(err)
		}
		l := plan.Timeline(latentGrid(folder, s), s)
		made, passed := l.Windows(0), l.Passed()
		if len(made) != s.Blocks || made[len(made)-1].Hi != l.Frames || made[0].Lo > given ||
			l.Known(0) < 1 || made[0].Lo+l.Known(0) != given {
			rt.Errorf("%+v: windows %v, %d blocks", s, made, s.Blocks)
		}
		whole := l
		whole.Given = 0
		all := whole.Windows(0)
		if aligned := given >= window && (given-window)%(window-overlap) == 0; aligned &&
			!slices.Equal(append(slices.Clone(passed), made...), all) {
			rt.Errorf("%+v: %v passed, %v made; in one go %v", s, passed, made, all)
		}
	})
}

// photo stores a picture.
func photo(t testing.TB, objects artifact.Store) (job.Object, image.Image) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 50, 40))
	for i := range 50 * 40 {
		img.Set(i%50, i/50, color.RGBA{uint8(5 * (i % 50)), uint8(6 * (i / 50)), uint8(i), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	o, err := objects.Put(context.Background(), bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return o, img
}

// TestAPictureIsTheFirstLatent as the encoder makes it, on any mesh, with the same bytes.
func TestAPictureIsTheFirstLatent(t *testing.T) {
	objects := artifact.NewMemory()
	o, img := photo(t, objects)
	s := resolved(t, 9, job.Input{Role: job.RoleStart, Kind: job.KindImage, Object: o, Latents: 1})
	want := encoded(t, tinies(t, 1)[0], media.Fit(img, s.Width, s.Height))
	sum := ""
	for _, m := range underrace.Some(startMeshes, 2) { // alone, and of a group of ranks
		res := makeClip(t, s, m, objects)
		if !slices.Equal(head(latentsOf(t, objects, res), 9, 1), want) {
			t.Errorf("%s: the first latent is not the picture's", m)
		}
		if sum == "" {
			sum = res.LatentsSHA256
		}
		if res.LatentsSHA256 != sum {
			t.Errorf("%s: latents %.12s, others %.12s", m, res.LatentsSHA256, sum)
		}
	}
}

// encoded is the latent of one frame.
func encoded(t testing.TB, e *Engine, f media.Frame) []float32 {
	t.Helper()
	w, err := e.folder.Weights("vae")
	if err != nil {
		t.Fatal(err)
	}
	enc, err := vae.LoadEncoder(e.dev.Decode, e.folder.VAE, w)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := enc.NewStream(f.H, f.W)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Free()
	frame := make([]float32, len(f.RGB))
	media.FromRGB(frame, f.RGB)
	z, err := stream.Next([][]float32{frame})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestClipsWithAStartGoOnAnywhere stops them after every step and goes on from the checkpoint on
// another mesh.
func TestClipsWithAStartGoOnAnywhere(t *testing.T) {
	objects := artifact.NewMemory()
	o, _ := photo(t, objects)
	first := makeClip(t, resolved(t, 10), startMeshes[0], objects)
	for _, start := range []job.Input{{Role: job.RoleStart, Kind: job.KindImage, Object: o, Latents: 1},
		{Role: job.RoleStart, Kind: job.KindLatents, Object: first.Latents, Latents: 10}} {
		var at []job.Checkpoint
		parts := map[string]job.Object{}
		run := func(m job.Mesh, from job.Checkpoint) job.Result {
			plan := job.Plan{Spec: resolved(t, 16, start), Mesh: m, Resume: from, CheckpointEvery: 1}
			if from.Step > 0 {
				plan.Parts = map[string]job.Object{}
				if p, ok := parts[job.PartStart]; ok {
					plan.Parts[job.PartStart] = p
				}
			}
			return attempt(t, tinies(t, m.Size()), inMemory(t, m.Size()), plan, objects, func(k *testRank) {
				if k.Rank == 0 && from.Step == 0 {
					k.everyCheckpoint(t, func(c job.Checkpoint) { at = append(at, c) })
					k.keepPart = func(_ context.Context, name string, o job.Object) error {
						if name == job.PartStart {
							parts[name] = o
						}
						return nil
					}
				}
			})
		}
		want := run(startMeshes[3], job.Checkpoint{})
		for i, c := range underrace.Some(at, 2) { // ranks read each in the same way
			if got := run(startMeshes[i%3], c); got.LatentsSHA256 != want.LatentsSHA256 {
				t.Errorf("%s, from step %d: latents %.12s, undisturbed %.12s", start.Kind, c.Step,
					got.LatentsSHA256, want.LatentsSHA256)
			}
		}
		if len(at) < 4 || (start.Kind == job.KindImage) != (len(parts) == 1) {
			t.Errorf("%s: %d checkpoints, parts %v", start.Kind, len(at), parts)
		}
		clear(parts)
	}
}

// TestAnotherLatentIsRefused, one of another size or another count of frames.
func TestAnotherLatentIsRefused(t *testing.T) {
	objects := artifact.NewMemory()
	first := makeClip(t, resolved(t, 2), startMeshes[0], objects)
	s := resolved(t, 6, job.Input{Role: job.RoleStart, Kind: job.KindLatents,
		Object: first.Latents, Latents: 3})
	_, errs := tryAttempt(t, tinies(t, 1), inMemory(t, 1), job.Plan{Spec: s, Mesh: startMeshes[0]},
		objects, nil)
	if errs[0] == nil || !bytes.Contains([]byte(errs[0].Error()), []byte("cannot go on from")) {
		t.Error(errs[0])
	}
}

// TestExtensionEqualsTheReference continues the first window of a golden that was made in one go.
func TestExtensionEqualsTheReference(t *testing.T) {
	if testing.Short() {
		t.Skip("long clips are held to the reference elsewhere")
	}
	g := golden.Open(t, "long_extend_17")
	s := extending(longSpec(g))
	e := blind(engine(t, 2, "models", "demo"))
	s.FlowShift = e.sched.FlowShift
	frames := g.Tensor("latents").Shape[2]
	x := tensor.FromFloat32(head(g.Floats("latents"), frames, s.Window), 1, 16, s.Window,
		s.Height/8, s.Width/8)
	objects := artifact.NewMemory()
	s.Inputs = []job.Input{{Role: job.RoleStart, Kind: job.KindLatents, Object: stored(t, objects, x),
		Latents: s.Window}}
	s.Blocks--
	res := attempt(t, []*Engine{e}, inMemory(t, 1), job.Plan{Spec: s, Mesh: startMeshes[0]}, objects,
		nil)
	golden.Near(t, "latents", latentsOf(t, objects, res), g.Floats("latents"), 1e-4)
}

// stored keeps a latent as results do.
func stored(t testing.TB, objects artifact.Store, x tensor.Tensor) job.Object {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, map[string]tensor.Tensor{"latents": x}, nil); err != nil {
		t.Fatal(err)
	}
	o, err := objects.Put(context.Background(), bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return o
}
