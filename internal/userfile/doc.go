// Package userfile opens files by paths that people give. A path may lead anywhere: to a named pipe
// that nobody writes to, to a device that never ends, to a web page that a proxy sent in place of
// the file. Opening never waits, nothing but regular files is read, and never more than the caller
// allows, whatever the size is said to be. What names a file that is not what was asked for.
package userfile
