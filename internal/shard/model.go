package shard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/published"
	"github.com/longtake/longtake/models/demo"
)

// OpenModel opens a model folder, or the embedded demo for ""; demo.ErrLeftOut if this build has
// none.
func OpenModel(path string) (*model.Folder, error) {
	if path == "" {
		files, err := demo.Open()
		if err != nil {
			return nil, err
		}
		return model.OpenFS(files, "demo")
	}
	// The plan of a clip takes names, and they are all that people have until they download.
	if id, known := published.Repository(path); known {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("model is %s, a name that plan alone takes; allowed: a folder, such as "+
				"DIR after \"hf download %s --local-dir DIR\"", path, id)
		}
	}
	return model.Open(path)
}

// ModelError says that a shard's model cannot be loaded: its folder is not there or broken, or the
// devices that it should run on are. A program exits with the code for bad input.
type ModelError struct{ Err error }

// Error implements error.
func (e *ModelError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ModelError) Unwrap() error { return e.Err }

// BadInput reports that what was asked for is wrong, not what was tried.
func (e *ModelError) BadInput() bool { return true }
