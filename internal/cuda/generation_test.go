//go:build cuda

package cuda

import (
	"strings"
	"testing"
)

func TestGenerations(t *testing.T) {
	for _, c := range []struct {
		option, env  string
		major, minor int
		want         string // the generation, or a part of the error
	}{
		{"", "", 5, 0, "v1"},
		{"", "", 7, 5, "v1"},
		{"", "", 8, 0, "v2"},
		{"", "", 8, 9, "v2"},
		{"", "", 12, 0, "v2"},
		{"", "v3", 12, 0, `LONGTAKE_CUDA is "v3", which needs sm_90; this GPU is sm_120`},
		{"v2", "", 7, 5, `Generation is "v2", which needs sm_80 or newer; this GPU is sm_75`},
		{"", "", 9, 0, "v3"},
		{"", "v2", 9, 0, "v2"},
		{"v1", "", 9, 0, "v1"},
		{"", "v1", 9, 0, "v1"},
		{"v1", "v7", 9, 0, "v1"},
		{"", "v7", 9, 0, `LONGTAKE_CUDA is "v7"; allowed: `},
		{"v0", "", 9, 0, `Generation is "v0"; allowed: `},
	} {
		t.Setenv("LONGTAKE_CUDA", c.env)
		got, err := generationFor(Options{Generation: c.option}, c.major, c.minor)
		if err != nil && strings.HasPrefix(err.Error(), c.want) && !strings.Contains(err.Error(), "\n") {
			continue
		}
		if err != nil || got[0].name != c.want || got[len(got)-1].name != "v1" {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

func TestABadGenerationIsRefused(t *testing.T) {
	t.Setenv("LONGTAKE_CUDA", "fast")
	_, err := Open(Options{})
	if want := `cannot open GPU 0: LONGTAKE_CUDA is "fast"; allowed: `; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
