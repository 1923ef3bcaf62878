//go:build nodemo

package demo

import "io/fs"

// embedded is nil: this build has no model in it.
var embedded fs.FS
