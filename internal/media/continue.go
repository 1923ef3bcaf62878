package media

import (
	"bytes"
	"fmt"
	"io"
)

// Continues reports whether Continue can continue clips of this format. The frames of an MP4 depend
// on each other, and a zip of pictures has its table at the end.
func (f Format) Continues() bool { return f == WebM }

// Continue continues a clip of which the first size bytes are in kept: what Tap saw, up to the end
// of a cluster. The rest goes to w, with the bytes that one encoder would have written; if w is an
// io.WriteSeeker, it has to stand after the kept bytes. It returns how many frames are kept; the
// next Add is for the one after them. An error says in what kept is not the beginning of such a
// clip.
func Continue(f Format, w io.Writer, o Options, kept io.ReaderAt, size int64) (e Encoder,
	frames int, err error) {
	if !f.Continues() {
		return nil, 0, fmt.Errorf("cannot continue a clip of format %q", f)
	}
	if err := o.check(); err != nil {
		return nil, 0, err
	}
	m := openWebM(w, o)
	if err := m.resume(kept, size); err != nil {
		return nil, 0, fmt.Errorf("cannot continue a WebM at byte %d: %w", m.at, err)
	}
	return &checked{Encoder: m, o: o, n: m.n}, m.n, nil
}

// resume sets the encoder to the state that it had after the kept bytes. Of a cluster it reads
// where its blocks are, not the frames in them.
func (m *webm) resume(kept io.ReaderAt, size int64) error {
	// The header depends on the options alone, so it also tells whether they are the clip's.
	head := m.header()
	if err := expectBytes(kept, 0, size, head); err != nil {
		return fmt.Errorf("the header is that of another clip: %w", err)
	}
	for m.at = int64(len(head)); m.at < size; {
		if err := m.readCluster(kept, size); err != nil {
			return err
		}
	}
	return nil
}

// readCluster passes over one cluster: its time, then its frames. Only the clip's last cluster has
// fewer than a second's.
func (m *webm) readCluster(kept io.ReaderAt, size int64) error {
	cluster, err := expect(kept, idCluster, m.at, size)
	if err != nil {
		return err
	}

	// Times follow from the number of frames, so any other value is another clip's.
	m.start = m.millis(m.n)
	time := number(idTimestamp, uint64(m.start)) //nolint:gosec // not negative
	if err := expectBytes(kept, cluster.body, cluster.end, time); err != nil {
		return err
	}

	n := m.n
	for at := cluster.body + int64(len(time)); at < cluster.end; n++ {
		block, err := expect(kept, idSimpleBlock, at, cluster.end)
		if err != nil {
			return err
		}

		// Track, time and flags; the frame after them may hold anything.
		if err := expectBytes(kept, block.body, block.end, m.blockHead(m.millis(n))); err != nil {
			return err
		}
		at = block.end
	}

	if want := m.second(); n-m.n != want {
		return fmt.Errorf("a cluster has %d frames, want %d", n-m.n, want)
	}

	m.cue()
	m.n, m.at = n, cluster.end
	return nil
}

// second returns how many frames the next cluster has.
func (m *webm) second() int {
	if m.o.Frames == 0 {
		return m.o.second()
	}
	return min(m.o.second(), m.o.Frames-m.n)
}

// expect reads the element at an offset, which has to have some name.
func expect(kept io.ReaderAt, name uint32, at, end int64) (place, error) {
	p, err := locate(kept, at, end)
	if err == nil && p.name != name {
		err = fmt.Errorf("element %x where %x belongs", p.name, name)
	}
	return p, err
}

// expectBytes returns an error unless the bytes between two offsets begin with those wanted, as far
// as they reach.
func expectBytes(kept io.ReaderAt, at, end int64, want []byte) error {
	// Fewer bytes than wanted are another value, too.
	got := make([]byte, min(int64(len(want)), end-at))
	if n, err := kept.ReadAt(got, at); n < len(got) {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("it has %x where %x belongs", got, want)
	}
	return nil
}
