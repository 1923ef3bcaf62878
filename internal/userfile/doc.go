// Package userfile opens files by paths that people give. A path may lead anywhere: to a named pipe
// that nobody writes to, to a device that never ends, to a web page that a proxy sent in place of
// the file. Opening never blocks, nothing but regular files is read, and never more than the caller
// allows, whatever size the system reports. [What] recognises files that are not what their names
// say, and says what to do.
package userfile
