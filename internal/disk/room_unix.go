//go:build linux || darwin

package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Of returns the room of the file system that holds a directory.
func Of(dir string) (Room, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return Room{}, fmt.Errorf("cannot read the free space of %s: %w", dir, err)
	}
	unit := int64(fs.Bsize)                    //nolint:unconvert // its type varies
	return Room{Free: int64(fs.Bavail) * unit, //nolint:gosec // of a disk
		Total: int64(fs.Blocks) * unit}, nil //nolint:gosec // of a disk
}
