package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/underrace"
)

// tall is a clip whose frames are worth sharing: 12 rows of the latent.
func tall(t testing.TB) job.Spec {
	s := spec(golden.Open(t, "tiny5_e2e"))
	s.Width, s.Height, s.Frames, s.Steps = 16, 96, 17, 1
	return s
}

// bandsOf returns how many ranks decode.
func bandsOf(e *Engine, ranks int, s job.Spec, sharedCores bool, t *testing.T) int {
	r := &run{e: e, grid: latentGrid(e.folder, s), Assignment: Assignment{
		Plan: job.Plan{Spec: s}, Transport: inMemory(t, ranks)[0], SharedCores: sharedCores}}
	return len(r.rowBands())
}

func TestAnyNumberOfRanksDecodesTheSameVideo(t *testing.T) {
	s, path := tall(t), []string{"testdata", "golden", "tiny5"}
	var want job.Object
	type setup struct{ ranks, shares int }
	// The one in the middle of three has two neighbours, and no rank has more.
	for _, c := range underrace.Some([]setup{{3, 3}, {1, 1}, {2, 2}, {5, 4}}, 2) {
		n := c.ranks
		engines := make([]*Engine, n)
		for r := range engines {
			engines[r] = engine(t, 1, path...)
		}
		if got := bandsOf(engines[0], n, s, false, t); got != c.shares {
			t.Fatalf("%d of %d ranks decode, want %d", got, n, c.shares)
		}
		res, _ := generate(t, engines, inMemory(t, n), s, job.Mesh{CFG: 1, Ulysses: n})
		if want.Name == "" {
			want = res.Video
		}
		if res.Video != want {
			t.Errorf("%d ranks: video %.20s, others %.20s", n, res.Video.Name, want.Name)
		}
	}
}

// TestAnyNumberOfRanksDecodesAResidualVAE shares the rows of Wan 2.2's VAE, 16 pixels each.
func TestAnyNumberOfRanksDecodesAResidualVAE(t *testing.T) {
	underrace.Skip(t, "ranks exchange rows as in the test above")
	s, dir := spec(golden.Open(t, "twin_residual")), golden.Twin(t, "residual")
	s.Width, s.Height, s.Frames, s.Steps = 32, 192, 5, 1
	var want job.Object
	for n := 1; n <= 3; n++ {
		engines := make([]*Engine, n)
		for r := range engines {
			engines[r] = engineIn(t, compute.FP32, 1, dir)
		}
		if got := bandsOf(engines[0], n, s, false, t); got != n {
			t.Fatalf("%d of %d ranks decode", got, n)
		}
		res, _ := generate(t, engines, inMemory(t, n), s, job.Mesh{CFG: 1, Ulysses: n})
		if want.Name == "" {
			want = res.Video
		}
		if res.Video != want {
			t.Errorf("%d ranks: video %.20s, others %.20s", n, res.Video.Name, want.Name)
		}
	}
}

func TestDecodingIsSpreadOnlyWhereItPays(t *testing.T) {
	e, s := engine(t, 1, "testdata", "golden", "tiny5"), tall(t)
	if n := bandsOf(e, 3, s, true, t); n != 1 {
		t.Errorf("%d ranks on the same cores decode", n)
	}
	for height, want := range map[int]int{8: 1, 16: 1, 24: 1, 96: 3, 480: 3} {
		s.Height = height
		if n := bandsOf(e, 3, s, false, t); n != want {
			t.Errorf("height %d: %d of 3 ranks decode, want %d", height, n, want)
		}
	}
}

// TestALostRankIsNamedWhileDecoding lets rank 1 end after its first frames.
func TestALostRankIsNamedWhileDecoding(t *testing.T) {
	world, objects := inMemory(t, 2), artifact.NewMemory()
	plan := job.Plan{Job: "video_test", Attempt: 1, Spec: tall(t),
		Mesh: job.Mesh{CFG: 1, Ulysses: 2}, Nodes: make([]job.NodeID, 2)}
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for r := range 2 {
		e := engine(t, 1, "testdata", "golden", "tiny5")
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			k := &testRank{Assignment: Assignment{Plan: plan, Rank: r, Transport: world[r],
				Objects: objects, TempDir: t.TempDir()}}
			k.progress = func(p job.Progress) {
				if r == 1 && p.Stage == job.StageDecode {
					cancel()
				}
			}
			_, errs[r] = k.run(ctx, e)
			world[r].Close()
		})
	}
	wg.Wait()
	var peer *collective.PeerError
	if !errors.As(errs[0], &peer) || peer.Rank != 1 || !strings.HasPrefix(errs[0].Error(), "decode: ") {
		t.Errorf("rank 0: %v", errs[0])
	}
	if !errors.Is(errs[1], context.Canceled) {
		t.Errorf("rank 1: %v", errs[1])
	}
}

// TestTooLittleMemoryIsTold takes memory from the device that decodes until frames come in bands.
func TestTooLittleMemoryIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("computes alone: nothing for the race detector")
	}
	f, err := model.Open(golden.Root("testdata", "golden", "tiny5"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	main, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer main.Close()
	var want job.Object
	short := tall(t)
	short.Frames = 9 // later ones take no more memory
	for limit := int64(32 << 20); ; limit -= limit / 8 {
		decode, err := cpu.Open(cpu.Options{Threads: 1, MemoryBytes: limit})
		if err != nil {
			t.Fatal(err)
		}
		defer decode.Close()
		e, err := New(f, Devices{main, decode}, compute.FP32)
		if err != nil {
			t.Fatalf("%d bytes: %v", limit, err)
		}
		res, _ := generate(t, []*Engine{e}, inMemory(t, 1), short, job.Mesh{CFG: 1, Ulysses: 1})
		if want.Name == "" {
			want = res.Video
		}
		if res.Video != want {
			t.Fatalf("%d bytes of memory: video %.20s, otherwise %.20s", limit, res.Video.Name, want.Name)
		}
		if len(res.Notices) > 0 {
			if !strings.Contains(res.Notices[0], "it was done in 2 bands") {
				t.Errorf("notices: %q", res.Notices)
			}
			return
		}
	}
}

// failing is an encoder that takes so many frames.
type failing struct {
	media.Encoder
	takes int
}

var errFull = errors.New("no space is left")

func (f *failing) Add(media.Frame) error {
	if f.takes--; f.takes < 0 {
		return errFull
	}
	return nil
}

func TestTheEncoderEndsTheDecoding(t *testing.T) {
	group := make([]media.Frame, 4)
	q := startEncoding(t.Context(), &failing{takes: 6})
	var err error
	for i := 0; err == nil; i++ {
		if err = q.add(group); i > 3 {
			t.Fatalf("%d groups were taken", i)
		}
	}
	if !errors.Is(err, errFull) || !errors.Is(q.stop(), errFull) {
		t.Errorf("%v", err)
	}
	q = startEncoding(t.Context(), &failing{takes: 8})
	for range 2 {
		if err := q.add(group); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(q.stop(), q.stop()); err != nil {
		t.Error(err)
	}
}
