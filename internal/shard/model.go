package shard

import (
	"github.com/longtake/longtake/internal/model"
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
	return model.Open(path)
}

// ModelError says that a model cannot be loaded.
type ModelError struct{ Err error }

// Error implements error.
func (e *ModelError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ModelError) Unwrap() error { return e.Err }

// BadInput reports that what was asked for is wrong, not what was tried.
func (e *ModelError) BadInput() bool { return true }
