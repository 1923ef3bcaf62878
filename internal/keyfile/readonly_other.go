//go:build !unix

package keyfile

import "io/fs"

// errReadOnly is of a file system that cannot be written.
var errReadOnly = fs.ErrPermission
