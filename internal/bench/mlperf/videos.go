package mlperf

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// shownIDs are the prompts, counted from 0, whose videos a submission of v6.1 has for people to
// look at: REQUIRED_ACC_BENCHMARK of the checker's constants.
var shownIDs = []int{130, 106, 84, 59, 12, 123, 43, 22, 238, 32}

// Video is where VBench looks for the video of a prompt, below a folder: it is called as the
// prompt, with the number of the try. A prompt with a slash in it cannot be a name.
func (t Task) Video(dir string, index int) (string, error) {
	name := t.Prompts.Prompts[index].Text + "-0.mp4"
	if strings.ContainsAny(name, "/\\\x00") || len(name) > 255 {
		return "", fmt.Errorf("prompt %d cannot be the name of a file; allowed: up to 249 bytes, "+
			"without / and \\", index+1)
	}
	return filepath.Join(dir, name), nil
}

// KeepShown copies those videos that a submission has into its accuracy folder, from the folder of
// all of them.
func (t Task) KeepShown(from, accuracy string) error {
	to := filepath.Join(accuracy, "videos")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}

	// People look at them without the list of prompts at hand, so there is a text with each one's.
	var captions strings.Builder
	for _, i := range slices.Sorted(slices.Values(shownIDs)) {
		// The checker names those that are missing.
		if i >= t.total(Accuracy) {
			continue // a trial of fewer
		}
		path, err := t.Video(from, i)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}

		name := strconv.Itoa(i) + ".mp4"
		if err := os.WriteFile(filepath.Join(to, name), b, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&captions, "%s %s\n", name, t.Prompts.Prompts[i].Text)
	}
	return os.WriteFile(filepath.Join(to, "captions.txt"), []byte(captions.String()), 0o644)
}
