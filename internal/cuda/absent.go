//go:build !cuda

package cuda

import "fmt"

// Built says whether this program can run on a GPU at all.
const Built = false

// Open fails with ErrNone: this build has no CUDA.
func Open(Options) (GPU, error) {
	_, err := Count()
	return nil, err
}

// Count fails with ErrNone: this build has no CUDA.
func Count() (int, error) {
	return 0, fmt.Errorf("%w: this program was built without CUDA; make cuda builds "+
		"bin/cuda/longtake and bin/cuda/shard, which use GPUs", ErrNone)
}

// NameOf fails with ErrNone: this build has no CUDA.
func NameOf(int) (string, error) {
	_, err := Count()
	return "", err
}
