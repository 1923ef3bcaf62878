//go:build !unix

package userfile

// nonblock is for systems where a path can be a pipe.
const nonblock = 0
