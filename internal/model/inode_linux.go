package model

import (
	"fmt"
	"os"
	"syscall"
)

// inode names a file itself and when anything of it was last changed: another time of modification
// can be set, this one cannot.
func inode(info os.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" %d %d %d.%09d", s.Dev, s.Ino, s.Ctim.Sec, s.Ctim.Nsec)
}
