package job

import (
	"errors"
	"strings"
	"testing"
)

// TestSizes: sizes are read as people write them, and what cannot be one is said to be wrong.
func TestSizes(t *testing.T) {
	for text, want := range map[string][2]int{
		"832x480": {832, 480}, "832X480": {832, 480}, "1280*720": {1280, 720},
		"1280×720": {1280, 720}, "1280 x 720": {1280, 720}, "480p": {832, 480},
		" 720P ": {1280, 720},
	} {
		w, h, ok := ParseSize(text)
		if !ok || [2]int{w, h} != want {
			t.Errorf("%q is %dx%d, %v; want %v", text, w, h, ok, want)
		}
	}

	for _, text := range []string{"", "x", "832", "832x", "x480", "8x8x", "p", "360p", "720",
		"1080i", "832x480p", "axb"} {
		if w, h, ok := ParseSize(text); ok {
			t.Errorf("%q is taken for %dx%d", text, w, h)
		}
	}
}

// TestNamedSizes: a name is a size that the model can make; pixels are left as they are.
func TestNamedSizes(t *testing.T) {
	m := Model{SpatialScale: 16, Patch: [3]int{1, 2, 2}}
	for text, want := range map[string][2]int{"720p": {1280, 704}, "480p": {832, 480},
		"1280x720": {1280, 720}} {
		r, err := Request{Size: text}.Settle(m)
		if err != nil || *r.Width != want[0] || *r.Height != want[1] {
			t.Errorf("%s is %v, %v; want %v", text, r, err, want)
		}
	}

	_, err := Request{Size: "360p"}.Settle(m)
	var wrong *FieldError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "480p or 720p") {
		t.Errorf("360p: %v", err)
	}
}
