//go:build unix

package keyfile

import "syscall"

// errReadOnly is of a file system that cannot be written.
const errReadOnly = syscall.EROFS
