package shard

import (
	"strings"
	"testing"
)

// TestNameOfAPublishedModel is what someone gives who has only planned: the error says how to get
// the folder.
func TestNameOfAPublishedModel(t *testing.T) {
	_, err := OpenModel("wan2.2-t2v-a14b")
	const want = "hf download Wan-AI/Wan2.2-T2V-A14B-Diffusers --local-dir"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %q", err, want)
	}
	if _, err := OpenModel("wan2.3"); err == nil || !strings.Contains(err.Error(), "no such folder") {
		t.Error(err)
	}
}
