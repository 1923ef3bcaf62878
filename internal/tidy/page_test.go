package tidy

import (
	"os"
	"path/filepath"
	"testing"
)

// page reads a text file of the project.
func page(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
