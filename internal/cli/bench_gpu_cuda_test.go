//go:build cuda

package cli

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/bench"
	"github.com/longtake/longtake/internal/cuda"
)

// TestBenchOnAGPU runs the benchmark's tiny sizes as a user does.
func TestBenchOnAGPU(t *testing.T) {
	t.Setenv("EMU_GPUS", "2")
	rows := 26
	if n, err := cuda.Count(); err != nil {
		t.Fatal(err)
	} else if n > 1 {
		rows++ // from one to the next
	}
	r := longtake(t, "bench", "gpu", "--sizes", "tiny", "--rounds", "1", "--json")
	if n := strings.Count(r.out, `"seconds"`); r.code != 0 || n != rows {
		t.Errorf("%d rows: %+v", n, r)
	}
	// All items but copies say how much memory they took.
	if n := strings.Count(r.out, `"memory_bytes"`); n != 25 {
		t.Errorf("%d rows with memory: %s", n, r.out)
	}
	r = longtake(t, "bench", "gpu", "--sizes", "tiny", "--rounds", "1", "--only", "^gemm", "--json")
	if n := strings.Count(r.out, `"name":"gemm `); n != 7 || strings.Count(r.out, "\n") != n {
		t.Errorf("--only ^gemm: %+v", r)
	}
	gpu, err := cuda.Open(cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := gpu.Name()
	if err := gpu.Close(); err != nil {
		t.Fatal(err)
	}
	if r := longtake(t, "bench", "gpu", "--list"); r.code != 0 || r.out != name+"\n" {
		t.Errorf("%+v", r)
	}
	r = longtake(t, "bench", "gpu", "--gpu", "99")
	if r.code != 2 || !strings.Contains(r.err, "--gpu is 99; allowed: 0 to ") {
		t.Errorf("%+v", r)
	}
	if !bench.Emulated(name) {
		return
	}
	if r := longtake(t, "bench", "gpu", "--page", "x"); r.code != 2 {
		t.Errorf("times of the emulated GPU went to a page: %+v", r)
	}
}
