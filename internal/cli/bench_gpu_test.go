package cli

import (
	"strings"
	"testing"
)

// TestNamesOfOnly lists what a run with the same flags would time, which needs no GPU.
func TestNamesOfOnly(t *testing.T) {
	_, clean := alone(t)
	all := longtake(t, "bench", "gpu", "--names")
	some := longtake(t, "bench", "gpu", "--names", "--only", "^wan 14B")
	if n := strings.Count(some.out, "\n"); n == 0 || n >= strings.Count(all.out, "\n") ||
		n != strings.Count(some.out, "wan 14B") {
		t.Errorf("%+v", some)
	}
	js := longtake(t, "bench", "gpu", "--names", "--only", "^wan 14B", "--json")
	if !strings.HasPrefix(js.out, `{"name":"wan 14B `) {
		t.Errorf("%+v", js)
	}
	for _, kept := range []string{"--page", "--device-file"} {
		for _, flags := range [][]string{{"--only", "^gemm"}, {"--sizes", "tiny"}} {
			args := append([]string{"bench", "gpu", kept, "x"}, flags...)
			if r := longtake(t, args...); r.code != 2 || !strings.Contains(r.err, kept) {
				t.Errorf("%v: %+v", args, r)
			}
		}
	}
	r := longtake(t, "bench", "gpu", "--device-file", "nowhere/mine.yaml")
	if r.code != 2 || !strings.Contains(r.err, "there is no folder") {
		t.Errorf("%+v", r)
	}
	clean()
}
