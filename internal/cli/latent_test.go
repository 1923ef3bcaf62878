package cli

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/tensor"
)

// TestLatent makes a clip from a seed, and the same one from the seed's noise as a file under
// another seed.
func TestLatent(t *testing.T) {
	alone(t)
	noise := make([]float32, 16*2*4*4)
	diffusion.NewGenerator(3).Stream(len(noise), func(at int, v []float32) { copy(noise[at:], v) })
	write := func(name string) {
		t.Helper()
		data := golden.Safetensors(t, map[string]tensor.Tensor{
			"noise": tensor.FromFloat32(noise, 1, 16, 2, 4, 4)})
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("noise.safetensors")
	noise[5] = float32(math.NaN())
	write("nan.safetensors")

	args := func(more ...string) []string {
		return append([]string{"generate", "-p", "a", "--model", golden.Twin(t, "t2v"), "--size",
			"32x32", "--frames", "5", "--steps", "1", "--shards", "1", "--json"}, more...)
	}
	var sums []string
	for _, more := range [][]string{{"--seed", "3"},
		{"--seed", "4", "--latent", "noise.safetensors"}} {
		r := longtake(t, args(more...)...)
		lines := strings.Split(strings.TrimSpace(r.out), "\n")
		var last resultLine
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || r.code != 0 {
			t.Fatalf("%v: %+v", more, r)
		}
		sums = append(sums, last.LatentsSHA256)
	}
	if sums[0] != sums[1] {
		t.Errorf("latents %s", sums)
	}

	for says, more := range map[string][]string{
		"--latent is of shape [16 2 4 4]; allowed: [16 1 4 4]": {"--latent", "noise.safetensors",
			"--frames", "1"},
		"--latent nan.safetensors is a latent with NaN at 5": {"--latent", "nan.safetensors"},
		"--latent: ": {"--latent", "none.safetensors"},
	} {
		if r := longtake(t, args(more...)...); r.code != 2 || !strings.Contains(r.err, says) ||
			strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", more, r)
		}
	}
}
