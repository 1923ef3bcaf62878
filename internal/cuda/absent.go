//go:build !cuda

package cuda

import "fmt"

// Open fails: this build has no CUDA.
func Open(Options) (GPU, error) {
	return nil, fmt.Errorf("%w: this program was built without -tags cuda", ErrNone)
}
