package engine

import (
	"os"
	"path/filepath"
	"testing"
)

// TestATempFolderThatWentIsMadeAgain removes a rank's folder, with and without one above it.
func TestATempFolderThatWentIsMadeAgain(t *testing.T) {
	above := filepath.Join(t.TempDir(), "tmp")
	r := &run{Assignment: Assignment{TempDir: filepath.Join(above, "job")}}
	for _, gone := range []string{above, r.TempDir} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		f, err := r.tempFile("object-*")
		if err != nil {
			t.Fatalf("without %s: %v", gone, err)
		}
		f.Close()
	}
}
