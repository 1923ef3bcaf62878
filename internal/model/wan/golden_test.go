package wan

import (
	"context"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

func load(t testing.TB, threads int, path ...string) *Transformer {
	t.Helper()
	return loadAs(t, threads, compute.FP32, path...)
}

func loadAs(t testing.TB, threads int, dt compute.DType, path ...string) *Transformer {
	t.Helper()
	return loadFolder(t, threads, dt, golden.Root(path...))
}

func loadFolder(t testing.TB, threads int, dt compute.DType, dir string) *Transformer {
	t.Helper()
	f, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	dev, err := cpu.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	w, err := f.Weights("transformer")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(dev, f.Transformer, w, dt)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tokens and latent convert between the reference's [C, T, H, W] and rows of patches.
func tokens(x []float32, c int, g partition.Grid) []float32 {
	out := make([]float32, 0, len(x))
	for n := range g.Tokens() {
		t, h, w := g.Coordinate(n)
		for p := range g.PT * g.PH * g.PW {
			for ch := range c {
				out = append(out, x[((ch*g.T+t*g.PT+p/(g.PH*g.PW))*g.H+h*g.PH+p/g.PW%g.PH)*g.W+w*g.PW+p%g.PW])
			}
		}
	}
	return out
}

type passCase struct {
	file   string
	model  []string
	blocks bool
}

var passes = []passCase{
	{"dit_image", []string{"models", "demo"}, true},
	{"dit_clip", []string{"models", "demo"}, true},
	{"dit_odd", []string{"models", "demo"}, true},
	{"dit_per_token", []string{"models", "demo"}, false},
	{"tiny3_dit", []string{"testdata", "golden", "tiny3"}, true},
	{"tiny5_dit", []string{"testdata", "golden", "tiny5"}, true},
	{"tiny7_dit", []string{"testdata", "golden", "tiny7"}, true},
}

func TestPassEqualsTheReference(t *testing.T) {
	for _, c := range passes {
		t.Run(c.file, func(t *testing.T) { checkPass(t, c) })
	}
}

func checkPass(t *testing.T, c passCase) {
	m, g := load(t, 2, c.model...), golden.Open(t, c.file)
	shape, p := g.Tensor("latent").Shape, m.cfg.PatchSize
	grid := partition.Grid{T: shape[2], H: shape[3], W: shape[4], PT: p[0], PH: p[1], PW: p[2]}
	s := sequence(t, m, grid)
	if c.blocks {
		s.tap = func(name string, mat compute.Mat) {
			got := make([]float32, mat.Rows*mat.Cols)
			if err := m.dev.Download(got, mat); err != nil {
				t.Fatal(err)
			}
			want := g.Floats(name)
			if name == "patch_embedding" {
				want = transpose(want, mat.Cols) // the reference records [d, T, h, w]
			}
			golden.Near(t, name, got, want, 1e-5)
		}
	}
	text, err := m.Text(trim(g.Floats("embeds"), m.cfg.TextDim))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Free()
	x := tokens(g.Floats("latent"), m.cfg.InChannels, grid)
	v := make([]float32, len(x))
	err = s.Forward(context.Background(), collective.Tag{}, x, v, steps(g.Ints("timestep")), text)
	if err != nil {
		t.Fatal(err)
	}
	golden.Near(t, "output", v, tokens(g.Floats("output"), m.cfg.OutChannels, grid), 1e-5)
}

func sequence(t testing.TB, m *Transformer, grid partition.Grid) *Sequence {
	t.Helper()
	group, err := collective.NewGroup(mem.NewWorld(1, mem.Options{})[0], []int{0})
	if err != nil {
		t.Fatal(err)
	}
	all := []partition.Range{{Lo: 0, Hi: grid.Tokens()}}
	s, err := m.NewSequence(grid, group, all, []partition.Range{{Lo: 0, Hi: m.cfg.NumAttentionHeads}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Free)
	return s
}

// trim drops the zero rows that pad a prompt.
func trim(embeds []float32, d int) []float32 {
	for n := len(embeds); n > 0; n -= d {
		for _, v := range embeds[n-d : n] {
			if v != 0 {
				return embeds[:n]
			}
		}
	}
	return nil
}

func transpose(x []float32, d int) []float32 {
	n := len(x) / d
	out := make([]float32, len(x))
	for i := range n {
		for j := range d {
			out[i*d+j] = x[j*n+i]
		}
	}
	return out
}

// steps turns a golden's timesteps, one or one per token, into distinct values and indexes.
func steps(ts []int64) Timesteps {
	if len(ts) == 1 {
		return Timesteps{Values: []float32{float32(ts[0])}}
	}
	out, place := Timesteps{}, map[int64]int32{}
	for _, v := range ts {
		if _, ok := place[v]; !ok {
			place[v] = int32(len(out.Values))
			out.Values = append(out.Values, float32(v))
		}
		out.Index = append(out.Index, place[v])
	}
	return out
}

func TestTextAndTimeEmbeddersEqualTheReference(t *testing.T) {
	m, g := load(t, 1, "models", "demo"), golden.Open(t, "dit_clip")
	text, err := m.Text(trim(g.Floats("embeds"), m.cfg.TextDim))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Free()
	d := m.cfg.Dim()
	got := make([]float32, text.embed.Rows*d)
	if err := m.dev.Download(got, text.embed); err != nil {
		t.Fatal(err)
	}
	want := g.Floats("text") // the first 32 of 512 rows; those after the prompt are all equal
	golden.Near(t, "text", got, want[:len(got)], 1e-5)
	golden.Near(t, "padding", got[len(got)-d:], want[31*d:32*d], 1e-5)

	s := sequence(t, m, partition.Grid{T: 1, H: 2, W: 2, PT: 1, PH: 2, PW: 2})
	s.embedTime(steps(g.Ints("timestep")))
	temb, proj := make([]float32, d), make([]float32, 6*d)
	if err := m.dev.Download(temb, s.temb); err != nil {
		t.Fatal(err)
	}
	if err := m.dev.Download(proj, s.tproj); err != nil {
		t.Fatal(err)
	}
	golden.Near(t, "temb", temb, g.Floats("temb"), 1e-5)
	golden.Near(t, "timestep_proj", proj, g.Floats("timestep_proj"), 1e-5)
}
