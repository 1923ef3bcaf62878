package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrOpening says that a clip does not begin as Opening expects.
var ErrOpening = errors.New("it begins differently")

// Opening returns what to put before the clusters of an unfinished clip, in place of its header, so
// that players know how long it is and can seek in it: a header and an index whose times and sizes
// are those of what exists.
//
// parts are the sizes of the clip's pieces, of `clusters` clusters each, as Tap passes them on; the
// first begins with the header of the whole clip. Opening reads this header from first, which it
// leaves at the first cluster. If it finds something else, it returns ErrOpening and what it has
// read.
func Opening(first io.Reader, o Options, parts []int64, clusters int) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}

	// The header of the whole clip is what its encoder has written.
	old := openWebM(nil, o).header()
	got := make([]byte, len(old))
	n, err := io.ReadFull(first, got)
	if err != nil || !bytes.Equal(got, old) || len(parts) == 0 || parts[0] < int64(len(old)) {
		return got[:n], errors.Join(ErrOpening, err)
	}

	sizes := append([]int64{parts[0] - int64(len(old))}, parts[1:]...)

	// The clip that exists so far, as if it were all there is.
	o.Frames = framesOf(o, len(parts)*clusters)
	return openWebM(nil, o).opening(sizes, clusters)
}

// framesOf returns how many frames a number of clusters hold, of which the clip's last may be
// short.
func framesOf(o Options, clusters int) int {
	n := clusters * o.second()
	if o.Frames > 0 {
		n = min(n, o.Frames)
	}
	return n
}

// opening returns the segment's size, the header and an index, for pieces of these sizes that
// follow.
func (m *webm) opening(sizes []int64, clusters int) ([]byte, error) {
	head := m.header()

	// The segment ends with the last piece.
	total := int64(0)
	for _, n := range sizes {
		if n < 1 {
			return nil, fmt.Errorf("a piece of %d bytes", n)
		}
		total += n
	}

	// The index says where the clusters begin, which is where it ends, so its size comes first.
	index := len(m.index(0, sizes, clusters))
	at := int64(len(head)) - m.segment + int64(index)

	body := sized(nil, uint64(at+total)) //nolint:gosec // not negative
	copy(head[m.segment-int64(len(body)):], body)
	return append(head, m.index(at, sizes, clusters)...), nil
}

// index returns an index with an entry for each piece, the first of which is at an offset. Its size
// only depends on how many there are.
func (m *webm) index(at int64, sizes []int64, clusters int) []byte {
	// Times and offsets have 8 bytes each, so that the index's size is known before them.
	var cues []byte
	for i, n := range sizes {
		start := m.millis(i * clusters * m.o.second())
		//nolint:gosec // none is negative
		place := concat(number(idCueTrack, 1), fixed(idCueCluster, uint64(at)))
		//nolint:gosec // as above
		point := concat(fixed(idCueTime, uint64(start)), element(idCuePositions, place))
		cues = append(cues, element(idCuePoint, point)...)
		at += n
	}
	return element(idCues, cues)
}
