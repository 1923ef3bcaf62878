package coord

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// natsDir is where JetStream keeps what it stores.
func natsDir(cfg Config) string { return filepath.Join(cfg.Data, "nats") }

// dropLeftovers deletes what JetStream was writing when its process was killed. It writes a block
// again into a file that it renames when it is done (x.new or x.tmp), and leaves such a file for
// ever if it never comes to that: on a full disk that is the room which the next start needs. It
// must not be called while NATS runs.
func dropLeftovers(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || !d.Type().IsRegular() || ext != ".new" && ext != ".tmp" {
			return err
		}
		return os.Remove(path)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the first start
	}
	return err
}
