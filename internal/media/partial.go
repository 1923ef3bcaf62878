package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrOpening says that a clip does not begin as Opening expects.
var ErrOpening = errors.New("it begins in another way")

// Opening returns what to put before the clusters of an unfinished clip, in place of its header, so
// that players know how long it is and can seek in it: header and index, whose times and sizes are
// of what is there. parts are the sizes of its pieces, of so many clusters each, as Tap gives them
// to its caller; the first one begins with the header of the whole clip. Opening reads this from
// first, which it leaves at the first cluster. If it begins in another way, ErrOpening is returned
// with what was read.
func Opening(first io.Reader, o Options, parts []int64, clusters int) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	old := openWebM(nil, o).header()
	got := make([]byte, len(old))
	n, err := io.ReadFull(first, got)
	if err != nil || !bytes.Equal(got, old) || len(parts) == 0 || parts[0] < int64(len(old)) {
		return got[:n], errors.Join(ErrOpening, err)
	}
	sizes := append([]int64{parts[0] - int64(len(old))}, parts[1:]...)
	o.Frames = framesOf(o, len(parts)*clusters)
	return openWebM(nil, o).opening(sizes, clusters)
}

// framesOf is how many frames a number of clusters hold.
func framesOf(o Options, clusters int) int {
	n := clusters * o.second()
	if o.Frames > 0 {
		n = min(n, o.Frames)
	}
	return n
}

// opening has the size of the whole, then header and index, where the pieces of these sizes follow.
func (m *webm) opening(sizes []int64, clusters int) ([]byte, error) {
	head := m.header()
	total := int64(0)
	for _, n := range sizes {
		if n < 1 {
			return nil, fmt.Errorf("a piece of %d bytes", n)
		}
		total += n
	}
	// The index says where the clusters are, which begin where it ends: its size has to be known.
	index := len(m.index(0, sizes, clusters))
	at := int64(len(head)) - m.segment + int64(index)
	body := sized(nil, uint64(at+total)) //nolint:gosec // not negative
	copy(head[m.segment-int64(len(body)):], body)
	return append(head, m.index(at, sizes, clusters)...), nil
}

// index has an entry for each piece, the first of which is at an offset. Its size depends only on
// their number.
func (m *webm) index(at int64, sizes []int64, clusters int) []byte {
	var cues []byte
	for i, n := range sizes {
		start := m.millis(i * clusters * m.o.second())
		//nolint:gosec // none is negative
		place := join(number(idCueTrack, 1), fixed(idCueCluster, uint64(at)))
		//nolint:gosec // as above
		point := join(fixed(idCueTime, uint64(start)), element(idCuePositions, place))
		cues = append(cues, element(idCuePoint, point)...)
		at += n
	}
	return element(idCues, cues)
}
