package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate gives a file n bytes of the disk; the file system need not write them.
func allocate(f *os.File, n int64) error {
	if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err == nil {
		return nil
	}
	return fill(f, n)
}
