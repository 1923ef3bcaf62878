package media

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pieces encodes a clip and returns what Tap saw, in parts of some clusters.
func pieces(t testing.TB, o Options, clusters int) [][]byte {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "a.webm"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var parts [][]byte
	var part []byte
	n := 0
	encode(t, WebM, Tap(file, func(b []byte, cluster bool) {
		part = append(part, b...)
		if cluster {
			n++
		}
		if cluster && n%clusters == 0 {
			parts, part = append(parts, part), nil
		}
	}), o, o.Frames)
	return parts
}

// TestOpening puts the first parts of clips together and reads how long they are.
func TestOpening(t *testing.T) {
	for name, c := range map[string]struct {
		o              Options
		clusters, have int
		millis         float64
	}{
		"three seconds of five": {Options{Width: 16, Height: 16, FPS: 8, Frames: 40}, 1, 3, 3000},
		"the first":             {Options{Width: 16, Height: 16, FPS: 8, Frames: 33}, 1, 1, 1000},
		"all, the last short":   {Options{Width: 16, Height: 16, FPS: 8, Frames: 33}, 1, 5, 4125},
		"parts of two seconds":  {Options{Width: 16, Height: 16, FPS: 4, Frames: 20}, 2, 2, 4000},
		"film": {Options{Width: 16, Height: 16, FPS: 24000, Per: 1001, Frames: 72}, 1, 2,
			48 * 1001 / 24.},
	} {
		parts := pieces(t, c.o, c.clusters)[:c.have]
		var sizes []int64
		for _, p := range parts {
			sizes = append(sizes, int64(len(p)))
		}
		first := bytes.NewReader(parts[0])
		head, err := Opening(first, c.o, sizes, c.clusters)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rest, _ := io.ReadAll(first)
		clip := concat(append([][]byte{head, rest}, parts[1:]...)...)
		segment := find(t, clip, idSegment)
		ms := math.Float64frombits(unsigned(find(t, segment, idInfo, idDuration)))
		if math.Abs(ms-c.millis) > 0.001 {
			t.Errorf("%s: %v ms, want %v", name, ms, c.millis)
		}
		cues := boxes(t, find(t, segment, idCues))
		if len(cues) != c.have {
			t.Errorf("%s: %d entries of the index, want %d", name, len(cues), c.have)
		}
		for _, q := range cues {
			at := unsigned(find(t, q.body, idCuePositions, idCueCluster))
			cluster := boxes(t, segment[at:])[0]
			if cluster.id != idCluster || unsigned(find(t, cluster.body, idTimestamp)) !=
				unsigned(find(t, q.body, idCueTime)) {
				t.Errorf("%s: the index leads to element %x", name, cluster.id)
			}
		}
		if _, err := exec.LookPath("ffprobe"); err != nil {
			continue
		}
		path := filepath.Join(t.TempDir(), "p.webm")
		if err := os.WriteFile(path, clip, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of",
			"csv=p=0", path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), ".") {
			t.Errorf("%s: ffprobe says %q, %v", name, out, err)
		}
	}
}

// TestOpeningOfSomethingElse is refused, so that it can be passed on as it is.
func TestOpeningOfSomethingElse(t *testing.T) {
	o := Options{Width: 32, Height: 32, FPS: 8, Frames: 16}
	good := pieces(t, o, 1)[0]
	for name, b := range map[string][]byte{
		"nothing": nil, "short": good[:20], "text": []byte("header, x"),
		"another clip": pieces(t, Options{Width: 48, Height: 32, FPS: 8, Frames: 16}, 1)[0]} {
		r := bytes.NewReader(b)
		head, err := Opening(r, o, []int64{int64(len(b))}, 1)
		rest, _ := io.ReadAll(r)
		if !errors.Is(err, ErrOpening) || !bytes.Equal(concat(head, rest), b) {
			t.Errorf("%s: %v, %d of %d bytes", name, err, len(head)+len(rest), len(b))
		}
	}
	if _, err := Opening(bytes.NewReader(good), o, []int64{int64(len(good)), 0}, 1); err == nil {
		t.Error("an empty part was taken")
	}
}
