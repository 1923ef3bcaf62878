package convert

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/tensor"
)

// TestWhatCannotBeConvertedIsRefused in one line that names it, and leaves nothing behind.
func TestWhatCannotBeConvertedIsRefused(t *testing.T) {
	twin, dir := golden.Twin(t, "t2v"), t.TempDir()
	dit := renamed(transformer, "", weightsOf(t, twin, transformer))
	with := func(name string, x tensor.Tensor) map[string]tensor.Tensor {
		m := maps.Clone(dit)
		m[name] = x
		return m
	}
	one := tensor.FromFloat32([]float32{1}, 1)
	pickle := filepath.Join(dir, "pickles", "Wan2.1_VAE.pth")
	save(t, dit, dir, "pickles", "dit.safetensors")
	if err := os.WriteFile(pickle, []byte("PK"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := save(t, dit, dir, "good.safetensors")
	base := Options{Base: twin, Heads: 3}

	for name, c := range map[string]struct {
		in   []string
		o    Options
		says string
	}{
		"nothing there": {[]string{filepath.Join(dir, "none")}, base, "cannot read"},
		"a pickle":      {[]string{pickle}, base, "no .safetensors file; PyTorch's pickles run code"},
		"no VAE": {[]string{filepath.Join(dir, "pickles")}, Options{Heads: 3},
			"vae, text_encoder, tokenizer missing in what was given; give more files, or --base DIR"},
		"why no VAE": {[]string{filepath.Join(dir, "pickles")}, Options{Heads: 3},
			"Wan2.1_VAE.pth was not read: PyTorch's pickles"},
		"a dtype": {[]string{good}, Options{DType: "int4"},
			`dtype is "int4"; allowed: bf16, fp32, keep`},
		"no heads": {[]string{good}, Options{Base: twin}, "heads is 0; allowed: a divisor"},
		"bad heads": {[]string{good}, Options{Base: twin, Heads: 7},
			"heads is 7; allowed: a divisor of the transformer's width, 48"},
		"two of a kind": {[]string{good, save(t, dit, dir, "again.safetensors")}, base,
			"both have a transformer; allowed: one, or two with high_noise and low_noise"},
		"another model": {[]string{save(t, map[string]tensor.Tensor{"x": one}, dir, "x.safetensors")},
			base, "has no weights of a Wan model"},
		"four bits": {[]string{save(t, with("blocks.0.self_attn.q.absmax", tensor.Tensor{
			DType: tensor.U8, Shape: tensor.Shape{1}, Data: []byte{0}}), dir, "nf4.safetensors")}, base,
			`"blocks.0.self_attn.q.absmax" is U8; allowed: F32`},
		"a scale of nothing": {[]string{save(t, with("nothing.scale_weight", one), dir,
			"scale.safetensors")}, base, "is no scale of a weight"},
		"another weight": {[]string{save(t, with("more.weight", one), dir, "more.safetensors")}, base,
			"does not make a model"},
		"another base": {[]string{good}, Options{Base: dir, Heads: 3}, "cannot copy vae from"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			_, err := Convert(t.Context(), c.in, out, c.o)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %s", err, c.says)
			}
			if left, _ := filepath.Glob(out + "*"); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
	if _, err := Convert(t.Context(), []string{good}, dir, base); err == nil ||
		!strings.Contains(err.Error(), "exists; allowed: a new folder") {
		t.Errorf("a folder that exists: %v", err)
	}
}

// TestAConversionStopsWithItsContext and leaves nothing behind.
func TestAConversionStopsWithItsContext(t *testing.T) {
	twin, out := golden.Twin(t, "t2v"), filepath.Join(t.TempDir(), "out")
	in := save(t, renamed(transformer, "", weightsOf(t, twin, transformer)), t.TempDir(),
		"x.safetensors")
	cause := errors.New("enough")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(cause)
	_, err := Convert(ctx, []string{in}, out, Options{Base: twin, Heads: 3})
	if left, _ := filepath.Glob(out + "*"); !errors.Is(err, cause) || len(left) > 0 {
		t.Errorf("%v; %v is left", err, left)
	}
}

// TestSmallTypes checks values of the 8-bit types whose bits are known.
func TestSmallTypes(t *testing.T) {
	for _, c := range []struct {
		got, want float32
	}{
		{e4m3[0x00], 0}, {e4m3[0x01], 1.0 / 512}, {e4m3[0x08], 1.0 / 64}, {e4m3[0x38], 1},
		{e4m3[0x7e], 448}, {e4m3[0xfe], -448}, {e4m3[0xb8], -1}, {e5m2[0x3c], 1},
		{e5m2[0x01], 1.0 / 65536}, {e5m2[0x7b], 57344}, {e5m2[0xbc], -1},
	} {
		if c.got != c.want {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	if f := float64(e5m2[0x7c]); !math.IsInf(f, 1) || !math.IsNaN(float64(e5m2[0x7d])) ||
		!math.IsNaN(float64(e4m3[0x7f])) || !math.IsNaN(float64(e4m3[0xff])) {
		t.Error("infinities or NaN are something else")
	}
	half := encode(tensor.BF16, []float32{1, float32(math.NaN()), 1.00390625, 1.01171875})
	v, err := decode(tensor.BF16, half)
	if err != nil || v[0] != 1 || v[1] == v[1] || v[2] != 1 || v[3] != 1.015625 {
		t.Errorf("as bfloat16: %v, %v", v, err)
	}
}

// FuzzFiles converts files of any bytes: an error or a folder, never a panic.
func FuzzFiles(f *testing.F) {
	twin := golden.Twin(f, "t2v")
	data, err := os.ReadFile(save(f, renamed(transformer, "", weightsOf(f, twin, transformer)),
		f.TempDir(), "x.safetensors"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, 3)
	f.Add([]byte(`{"a.scale_weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`), 0)
	f.Fuzz(func(t *testing.T, data []byte, heads int) {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.safetensors")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Convert(t.Context(), []string{path}, filepath.Join(dir, "out"),
			Options{Base: twin, Heads: heads})
		g, _ := gather([]string{path})
		for _, c := range g.components {
			for _, w := range c.weights {
				_ = w.write(t.Context(), io.Discard, tensor.BF16)
			}
		}
		_ = g.close()
	})
}
