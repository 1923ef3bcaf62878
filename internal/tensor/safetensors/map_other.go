//go:build !unix

package safetensors

import (
	"math"
	"os"

	"github.com/longtake/longtake/internal/userfile"
)

// advise does nothing: nothing is mapped.
func advise([]byte, bool) {}

// mapFile reads a whole file into memory: the standard library cannot map one on this system.
func mapFile(path string) (data []byte, info os.FileInfo, unmap func() error, err error) {
	if info, err = os.Stat(path); err == nil {
		data, err = userfile.Read(path, math.MaxInt64-1)
	}
	return data, info, func() error { return nil }, err
}
