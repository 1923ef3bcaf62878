//go:build unix

package serve

import (
	"os"
	"syscall"
)

// lock keeps another process from writing the same journal, until the file is closed.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
