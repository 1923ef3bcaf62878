// Package demo is the checkpoint that ships with longtake: a small Wan model, trained for this
// project on coloured objects moving over a few places. README.md is its card.
//
// The weights are part of every binary that imports this package, 23 MB of it. The build tag nodemo
// leaves them out, for clusters that only ever serve a model of their own.
package demo

import (
	"errors"
	"io/fs"
)

// ErrLeftOut says that the binary was built with the tag nodemo. The text is for a user who started
// a command without naming a model.
var ErrLeftOut = errors.New("no model is named and this build has no demo model in it; " +
	"name a model folder with --model")

// Open returns the model folder, laid out as diffusers writes it, or ErrLeftOut. The file system
// also has a method ReadString(name) (data string, ok bool), which returns weights without copying
// them.
func Open() (fs.FS, error) {
	if embedded == nil {
		return nil, ErrLeftOut
	}
	return embedded, nil
}
