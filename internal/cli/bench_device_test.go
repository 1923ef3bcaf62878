package cli

import (
	"strings"
	"testing"
)

func TestBenchDeviceMistakes(t *testing.T) {
	alone(t)
	for want, args := range map[string][]string{
		"--rounds is 1; allowed: 3": {"--rounds", "1"},
		`--name is "a b"; allowed`:  {"--name", "a b"},
		`--name is ""; allowed`:     {"--name", ""},
		"there is no folder":        {"-o", "nowhere/mine.yaml"},
	} {
		r := longtake(t, append([]string{"bench", "device"}, args...)...)
		if r.code != 2 || !strings.Contains(r.err, want) {
			t.Errorf("%v: %+v; want %q", args, r, want)
		}
	}
}
