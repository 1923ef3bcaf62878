package engine

import (
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/pool"
)

// pooled opens a folder of its own and loads it through a pool. leave closes all that the engine
// has.
func pooled(t *testing.T, p *pool.Pool, threads int) (e *Engine, leave func()) {
	t.Helper()
	f, err := model.Open(golden.Root("testdata", "golden", "tiny3"))
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	if e, err = NewIn(t.Context(), p, f, Devices{dev, dev}, compute.FP32, Options{}); err != nil {
		t.Fatal(err)
	}
	return e, func() {
		e.Close()
		dev.Close()
		f.Close()
	}
}

// TestRanksShareWeights has two engines with other threads and folders of their own share what the
// first has packed, even once the first is gone.
func TestRanksShareWeights(t *testing.T) {
	p, s := new(pool.Pool), spec(golden.Open(t, "tiny3_e2e"))
	alone := engine(t, 1, "testdata", "golden", "tiny3")
	want, _ := generate(t, []*Engine{alone}, inMemory(t, 1), s, job.Mesh{CFG: 1, Ulysses: 1})

	a, leaveA := pooled(t, p, 1)
	one := p.Bytes()
	b, leaveB := pooled(t, p, 2)
	if a.FeedForward() != b.FeedForward() || p.Bytes() != one || one == 0 {
		t.Errorf("a second engine takes %d bytes more than %d", p.Bytes()-one, one)
	}
	res, _ := generate(t, []*Engine{a, b}, inMemory(t, 2), s, job.Mesh{CFG: 2, Ulysses: 1})
	if res.LatentsSHA256 != want.LatentsSHA256 {
		t.Errorf("shared weights give latents %.12s, want %.12s", res.LatentsSHA256,
			want.LatentsSHA256)
	}

	leaveA()
	res, _ = generate(t, []*Engine{b}, inMemory(t, 1), s, job.Mesh{CFG: 1, Ulysses: 1})
	if res.LatentsSHA256 != want.LatentsSHA256 {
		t.Errorf("once the first is gone, latents are %.12s, want %.12s", res.LatentsSHA256,
			want.LatentsSHA256)
	}

	// The other type is loaded for itself, and nothing stays once both are gone.
	c, leaveC := pooled(t, p, 1)
	if err := c.Use(t.Context(), compute.BF16); err != nil {
		t.Fatal(err)
	}
	if c.FeedForward() == b.FeedForward() || p.Bytes() <= one {
		t.Errorf("products in bfloat16 have the weights of float32: %d bytes", p.Bytes())
	}
	leaveB()
	leaveC()
	if p.Bytes() != 0 {
		t.Errorf("%d bytes are left", p.Bytes())
	}
}
