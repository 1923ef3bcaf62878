package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// TestARankGoesOnWhereACheckpointIsLost tells rank 0 to stop after steps 1 and 3. Of step 1 it
// cannot make a checkpoint, since its disk refuses files: it does not wait for one, and stops after
// step 3.
func TestARankGoesOnWhereACheckpointIsLost(t *testing.T) {
	s := huge()
	s.Width, s.Height, s.Frames, s.Steps = 64, 48, 5, 5
	saved, asked := 0, 0
	err := run1(t, engine(t, 1, "testdata", "golden", "tiny3"), s, func(k *testRank, stop func(error)) {
		late := time.AfterFunc(patience, func() { stop(errors.New("the rank waits for ever")) })
		t.Cleanup(func() { late.Stop() })
		k.Plan.CheckpointEvery, k.TempDir = 1, filepath.Join(k.TempDir, "away")
		if err := os.WriteFile(k.TempDir, nil, 0o600); err != nil { // no folder can be made there
			t.Error(err)
		}
		k.saveCheckpoint = func(_ context.Context, c job.Checkpoint) error {
			saved = c.Step
			return nil
		}
		k.shouldYield = func() bool {
			asked++
			if asked == 2 {
				if err := os.Remove(k.TempDir); err != nil {
					t.Error(err)
				}
			}
			return asked != 2
		}
	})
	if !errors.Is(err, ErrYielded) || saved != 3 || asked != 3 {
		t.Errorf("after %d boundaries and with step %d saved the rank ends with %v", asked, saved, err)
	}
}
