package cli

import (
	"os"
	"strings"
	"testing"
)

// TestVideoQuality makes a clip at two qualities: the file is smaller, the latents are the same.
// PNG keeps all of a frame, so it takes no quality.
func TestVideoQuality(t *testing.T) {
	_, clean := alone(t)
	sum := func(args ...string) string {
		r := longtake(t, generate(append(args, "--shards", "1", "--json")...)...)
		_, rest, _ := strings.Cut(r.out, `"latents_sha256":"`)
		if r.code != 0 || len(rest) < 64 {
			t.Fatalf("%v: %+v", args, r)
		}
		return rest[:64]
	}
	if a, b := sum("-o", "a.webm"), sum("-o", "b.webm", "--video-quality", "20"); a != b {
		t.Errorf("other latents: %s, %s", a, b)
	}
	large, err := os.Stat("a.webm")
	if err != nil {
		t.Fatal(err)
	}
	if small, err := os.Stat("b.webm"); err != nil || small.Size() >= large.Size() {
		t.Errorf("%v: %v bytes, at the usual quality %d", err, small, large.Size())
	}
	for want, args := range map[string][]string{
		"--video-quality is 20; allowed: none":            {"-o", "frames/", "--video-quality", "20"},
		"--video-quality is 101; allowed: 1 to 100":       {"--video-quality", "101"},
		`--video-quality is "high"; allowed: an integer`:  {"--video-quality", "high"},
		`--video-quality is "0"; allowed: an integer fro`: {"--video-quality", "0"},
	} {
		if r := longtake(t, generate(args...)...); r.code != 2 || !strings.Contains(r.err, want) {
			t.Errorf("%v: %+v", args, r)
		}
	}
	clean("a.webm", "b.webm")
}
