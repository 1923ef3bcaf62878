//go:build unix

package safetensors

import (
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/longtake/longtake/internal/userfile"
)

// advise tells the system about part of a mapping, in whole pages. It is a hint: errors do not
// matter.
func advise(b []byte, need bool) {
	page := uintptr(os.Getpagesize())
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	from, to := (first+page-1)/page*page, (first+uintptr(len(b)))/page*page
	if from >= to {
		return
	}

	whole := b[from-first : to-first]
	if need {
		_ = unix.Madvise(whole, unix.MADV_WILLNEED)
	} else {
		_ = unix.Madvise(whole, unix.MADV_DONTNEED)
	}
}

// mapFile maps a file for reading, shared, so that processes of a machine that load the same model
// hold it in memory once. An empty file has no data and needs no unmapping.
func mapFile(path string) (data []byte, info os.FileInfo, unmap func() error, err error) {
	f, err := userfile.Open(path)
	if err != nil {
		return nil, nil, nil, err
	}
	defer f.Close()

	st, err := f.Stat()
	if err != nil {
		return nil, nil, nil, err
	}
	if st.Size() == 0 || st.Size() > math.MaxInt {
		return nil, st, func() error { return nil }, nil
	}

	// The mapping outlives the descriptor, so f can be closed.
	data, err = unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot map it: %w", err)
	}
	return data, st, func() error { return unix.Munmap(data) }, nil
}
