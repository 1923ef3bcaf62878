package wan

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
)

// findNotFinite runs a pass again and downloads the output of every block, to name the first that
// is not finite in a *tensor.NotFiniteError; nil if all are. It is slow, and only runs when a job
// has failed.
func (s *Sequence) findNotFinite(pass func() error) error {
	before := s.tap
	defer func() { s.tap = before }()

	var found error
	s.tap = func(name string, m compute.Mat) {
		if found != nil {
			return
		}
		values := make([]float32, m.Rows*m.Cols)
		found = s.t.dev.Download(values, m)
		if found == nil {
			found = tensor.CheckFinite(s.describe(name), values)
		}
	}

	return cmp.Or(pass(), found)
}

// outputName names, as goldens do, what layer i makes, and for -1 what the layers are given.
func (s *Sequence) outputName(i int) string {
	blocks := len(s.t.blocks)
	switch {
	case i < 0:
		return "patch_embedding"
	case i < blocks:
		return fmt.Sprintf("block.%d", i)
	}
	return fmt.Sprintf("vace.%d", i-blocks)
}

// inputName names, as goldens do, what layer i is given.
func (s *Sequence) inputName(i int) string {
	if i == len(s.t.blocks) {
		return controlName
	}
	return s.outputName(i - 1)
}

// describe says for errors what an activation is, by its name.
func (s *Sequence) describe(name string) string {
	kind, number, _ := strings.Cut(name, ".")
	i, _ := strconv.Atoi(number)
	switch kind {
	case "block":
		return fmt.Sprintf("what block %d of %d makes", i+1, len(s.t.blocks))
	case "vace":
		return fmt.Sprintf("what control block %d of %d makes", i+1, len(s.t.vace))
	case controlName:
		return "what the control blocks are given"
	}
	return "what the blocks are given"
}

// checkFinite returns a *tensor.NotFiniteError if the device has noticed values that are not finite
// up to the activation of that name. An operation that was stopped half-way leaves such
// values, too; then the reason why it stopped is returned instead.
func (s *Sequence) checkFinite(name string) error {
	if !compute.SawNonFinite(s.t.dev) {
		return nil
	}
	if err := s.t.dev.Sync(); err != nil {
		return err
	}
	return &tensor.NotFiniteError{What: s.describe(name)}
}
