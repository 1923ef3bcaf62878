//go:build !unix

package safetensors

import (
	"math"

	"github.com/longtake/longtake/internal/userfile"
)

// mapFile reads a file; this system has no mapping that the standard library offers.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	data, err = userfile.Read(path, math.MaxInt64-1)
	return data, func() error { return nil }, err
}
