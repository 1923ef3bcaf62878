package result

import (
	"bytes"
	"strings"
	"testing"
)

// TestWrongClipsStandFirst on the page, and fail the gate of a comparison.
func TestWrongClipsStandFirst(t *testing.T) {
	r := plain(20)
	r.Fidelity = &Fidelity{Reference: "one shard", Compared: 1, Equal: 1, PSNRNeeded: 30}
	r.Fidelity.Add(Unequal{Index: 3, Verdict: ClipAlike, PSNR: new(41.0)})
	r.Fidelity.Add(Unequal{Index: 4, Verdict: ClipNotCompared, Why: "no ffmpeg"})
	if r.Fidelity.Wrong() != 0 || r.Fidelity.Differences() != "" || r.Fidelity.Compared != 2 {
		t.Errorf("%+v", r.Fidelity)
	}
	good := r
	f := *r.Fidelity
	r.Fidelity = &f
	r.Fidelity.Add(Unequal{Index: 5, Verdict: ClipWrong, PSNR: new(11.0)})
	files, err := Report(r)
	if err != nil {
		t.Fatal(err)
	}
	page := string(files[0].Data)
	for _, want := range []string{"> **Wrong clips: 1 of 3 clips differ from one shard (PSNR 11.0 dB",
		"1 are wrong; PSNR of those not equal 26.0 dB on average, 11.0 dB at least",
		"| 4 | not compared |  | no ffmpeg |"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if !bytes.HasPrefix(files[0].Data, []byte("# Benchmark: single-stream\n\n> **Wrong")) {
		t.Error("the warning does not stand first")
	}

	c, err := Compare([]Result{good}, []Result{r}, Options{Gate: 0.05})
	if err != nil || len(c.Regressions) != 1 || c.Regressions[0] != "fidelity" ||
		!strings.Contains(strings.Join(c.Notes, "\n"), "B: 1 of 3 clips differ from one shard") {
		t.Errorf("%v, %v, %v", c.Regressions, c.Notes, err)
	}
}
