package media

import (
	"bytes"
	"fmt"
	"io"
)

// Continues reports whether Continue can go on with clips of this format. The frames of an MP4
// depend on each other, and a zip of pictures has its table at the end.
func (f Format) Continues() bool { return f == WebM }

// Continue goes on with a clip of which the first size bytes are in kept: what Tap saw, up to the
// end of a cluster. The rest goes to w, to the bytes that one encoder would have made; if w is an
// io.WriteSeeker, it has to be behind those that are kept. It returns how many frames there are. An
// error says that kept is not the beginning of such a clip.
func Continue(f Format, w io.Writer, o Options, kept io.ReaderAt, size int64) (e Encoder,
	frames int, err error) {
	if !f.Continues() {
		return nil, 0, fmt.Errorf("cannot go on with a clip of format %q", f)
	}
	if err := o.check(); err != nil {
		return nil, 0, err
	}
	m := openWebM(w, o)
	if err := m.reopen(kept, size); err != nil {
		return nil, 0, fmt.Errorf("cannot go on with a WebM at byte %d: %w", m.at, err)
	}
	return &checked{Encoder: m, o: o, n: m.n}, m.n, nil
}

// reopen takes stock of what is written. Of a cluster it reads where its blocks are, not what is in
// them.
func (m *webm) reopen(kept io.ReaderAt, size int64) error {
	head := m.header()
	if err := begins(kept, 0, size, head); err != nil {
		return fmt.Errorf("the header is that of another clip: %w", err)
	}
	for m.at = int64(len(head)); m.at < size; {
		if err := m.skip(kept, size); err != nil {
			return err
		}
	}
	return nil
}

// skip goes past one cluster: its time, then its frames, of which only the clip's last cluster has
// fewer than a second's.
func (m *webm) skip(kept io.ReaderAt, size int64) error {
	cluster, err := expect(kept, idCluster, m.at, size)
	if err != nil {
		return err
	}
	m.start = m.millis(m.n)
	time := number(idTimestamp, uint64(m.start)) //nolint:gosec // not negative
	if err := begins(kept, cluster.body, cluster.end, time); err != nil {
		return err
	}
	n := m.n
	for at := cluster.body + int64(len(time)); at < cluster.end; n++ {
		block, err := expect(kept, idSimpleBlock, at, cluster.end)
		if err != nil {
			return err
		}
		if err := begins(kept, block.body, block.end, m.blockHead(m.millis(n))); err != nil {
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

// expect finds the element that has to be at an offset.
func expect(kept io.ReaderAt, name uint32, at, end int64) (place, error) {
	p, err := locate(kept, at, end)
	if err == nil && p.name != name {
		err = fmt.Errorf("element %x where %x belongs", p.name, name)
	}
	return p, err
}

// begins reports whether what is between two offsets begins with some bytes.
func begins(kept io.ReaderAt, at, end int64, want []byte) error {
	got := make([]byte, min(int64(len(want)), end-at))
	if n, err := kept.ReadAt(got, at); n < len(got) {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("it has %x where %x belongs", got, want)
	}
	return nil
}
