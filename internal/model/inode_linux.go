package model

import (
	"fmt"
	"os"
	"syscall"
)

// inode tells which file it is and when anything of it last changed. Programs can set the time of
// modification, but not this one.
func inode(info os.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" %d %d %d.%09d", s.Dev, s.Ino, s.Ctim.Sec, s.Ctim.Nsec)
}
