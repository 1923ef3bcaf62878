package media

import (
	"bytes"
	"fmt"
	"testing"
)

// TestQualityMakesSmallerFiles encodes the same frames at falling qualities.
func TestQualityMakesSmallerFiles(t *testing.T) {
	size := func(quality int) int {
		var b bytes.Buffer
		encode(t, WebM, &b, Options{Width: 96, Height: 64, FPS: 8, Frames: 4, Quality: quality}, 4)
		return b.Len()
	}
	usual := size(0)
	if n := size(clipQuality); n != usual {
		t.Errorf("quality %d takes %d bytes, none %d", clipQuality, n, usual)
	}
	before := usual
	for _, q := range []int{80, 30, 1} {
		if n := size(q); n >= before {
			t.Errorf("quality %d takes %d bytes, the one before %d", q, n, before)
		} else {
			before = n
		}
	}
	if _, err := NewEncoder(WebM, &bytes.Buffer{}, Options{Width: 2, Height: 2, FPS: 1,
		Quality: 101}); err == nil {
		t.Error("a quality of 101 was taken")
	}
}

// TestQualityOfMP4 holds x264's rate factor to what imageio makes of the same quality.
func TestQualityOfMP4(t *testing.T) {
	for quality, want := range map[int]string{0: "17", 1: "50", 50: "25", 67: "16", 90: "5",
		100: "1"} {
		if got := rateFactor(Options{Quality: quality}); got != want {
			t.Errorf("quality %d is %s, want %s", quality, got, want)
		}
	}
	if a := fmt.Sprint(arguments(Options{Quality: 50}, "x")); !bytes.Contains([]byte(a),
		[]byte("-crf 25 ")) {
		t.Errorf("ffmpeg %s", a)
	}
}
