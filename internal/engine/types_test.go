package engine

import (
	"fmt"
	"os"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
)

// qualityClip is a clip that is made in every type.
type qualityClip struct {
	golden string // whose parameters it has
	model  []string
	prompt string // in place of the golden's; "": that
	seeds  []uint64
	steps  int // in place of the golden's; 0: those
	// The least PSNR and the largest relative error of final latents in fp8, beside bf16.
	least, most float64
}

// TestQualityOfTypes compares what products of smaller types make of clips: fp8 with bf16, and bf16
// with fp32. With -v it prints the rows of the table in docs/models.md; the demo's clips are those
// of the long tests.
func TestQualityOfTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("other tests of short runs hold the types to the reference")
	}
	clips := []qualityClip{
		{"tiny3_e2e", tiny("tiny3"), "", []uint64{1, 2}, 0, 50, 0.01},
		{"tiny5_e2e", tiny("tiny5"), "", []uint64{1, 2}, 0, 50, 0.01},
		{"tiny7_e2e", tiny("tiny7"), "", []uint64{1, 2}, 0, 50, 0.01},
	}
	if os.Getenv("LONGTAKE_LONG") != "" {
		for _, prompt := range []string{"a red ball moving right over the sea",
			"a green boat falling at night", "a yellow balloon rising over hills at noon"} {
			clips = append(clips, qualityClip{"e2e_demo", []string{"models", "demo"}, prompt,
				[]uint64{7, 8}, 30, 25, 0.15})
		}
	}
	for _, c := range clips {
		t.Run(c.model[len(c.model)-1]+" "+c.prompt, c.compare)
	}
}

func tiny(name string) []string { return []string{"testdata", "golden", name} }

// made is what is left of a clip.
type made struct {
	latents []float32
	frames  []byte
}

func (c qualityClip) compare(t *testing.T) {
	s := spec(golden.Open(t, c.golden))
	if c.prompt != "" {
		s.Prompt = c.prompt
	}
	if c.steps > 0 {
		s.Steps = c.steps
	}
	e := engine(t, 2, c.model...)
	for _, seed := range c.seeds {
		s.Seed = seed
		// The same clip in every type, on one engine: only the weights change.
		var all []made // by type
		for _, dt := range compute.DTypes() {
			if err := e.Use(t.Context(), dt); err != nil {
				t.Fatal(err)
			}
			alone := job.Mesh{CFG: 1, Ulysses: 1}
			res, objects := generate(t, []*Engine{e}, inMemory(t, 1), s, alone)
			all = append(all, made{latentsOf(t, objects, res),
				frames(t, object(t, objects, res.Video))})
		}

		// A row of the table.
		row := fmt.Sprintf("| %s, %d steps | %s | %d |", c.model[len(c.model)-1], s.Steps, s.Prompt,
			seed)
		for _, pair := range [][2]compute.DType{{compute.BF16, compute.FP32},
			{compute.FP8, compute.BF16}} {
			got, want := all[pair[0]], all[pair[1]]
			psnr := golden.PSNR(got.frames, want.frames)
			e := golden.RelL2(got.latents, want.latents)
			row += fmt.Sprintf(" %.1f, %.2g |", psnr, e)
			if pair[0] == compute.FP8 && !(psnr >= c.least && e <= c.most) {
				t.Errorf("seed %d: PSNR %.1f dB, latents %.2g; allowed: %g or more, %g or less",
					seed, psnr, e, c.least, c.most)
			}
		}
		t.Log(row)
	}
}
