package media

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestTapSeesWhatCanBePlayed compares header and clusters with what an encoder writes where it
// cannot go back.
func TestTapSeesWhatCanBePlayed(t *testing.T) {
	o := Options{Width: 32, Height: 16, FPS: 4, Frames: 10}
	var plain, seen bytes.Buffer
	encode(t, WebM, &plain, o, 10)
	f, err := os.Create(filepath.Join(t.TempDir(), "a.webm"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	clusters := 0
	encode(t, WebM, Tap(f, func(b []byte, cluster bool) {
		seen.Write(b)
		if cluster {
			clusters++
		}
	}), o, 10)
	if clusters != 3 || !bytes.HasPrefix(plain.Bytes(), seen.Bytes()) ||
		!bytes.HasPrefix(plain.Bytes()[seen.Len():], id(idCues)) {
		t.Errorf("%d clusters, %d of %d bytes", clusters, seen.Len(), plain.Len())
	}
}
