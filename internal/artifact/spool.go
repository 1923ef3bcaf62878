package artifact

import (
	"errors"
	"io"
	"os"
)

// spoolMost is the size of an object up to which it is taken in memory, spoolAll bounds all of
// those, in bytes. A checkpoint of a clip of 81 frames of 720p has 18 MB for each of its one to
// four tensors; those that are larger go to the page cache, by way of a file.
const spoolMost, spoolAll = 32 << 20, 128 << 20

// spool keeps an upload's bytes until they can be checked. The upload's lock guards it.
type spool interface {
	// write takes chunk i, which comes once. The spool may keep data.
	write(i int, data []byte) error
	// reader reads all chunks, which are there.
	reader() io.Reader
	// close gives up the bytes.
	close()
}

// memorySpool is a spool in memory. It keeps the chunks as they came, without a copy: NATS's client
// gives each message bytes of its own.
type memorySpool struct{ chunks [][]byte }

func (s *memorySpool) write(i int, data []byte) error {
	s.chunks[i] = data
	return nil
}

func (s *memorySpool) reader() io.Reader { return &memoryReader{left: s.chunks} }

func (s *memorySpool) close() { s.chunks = nil }

// memoryReader reads chunks one after the other.
type memoryReader struct {
	left [][]byte
	at   int // bytes of the first one that were read
}

// Read implements io.Reader.
func (r *memoryReader) Read(p []byte) (n int, err error) {
	for len(r.left) > 0 && r.at == len(r.left[0]) {
		r.left, r.at = r.left[1:], 0
	}
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n = copy(p, r.left[0][r.at:])
	r.at += n
	return n, nil
}

// fileSpool is a spool in a file, which is there from the first chunk on. It is not synced: after a
// crash the node sends everything again.
type fileSpool struct {
	dir     string
	f       *os.File
	end     int64 // of the bytes that were written
	counted int64 // bytes that the desk has counted
}

func (s *fileSpool) write(i int, data []byte) (err error) {
	if s.f == nil {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return full(err)
		}
		if s.f, err = os.CreateTemp(s.dir, "upload-*"); err != nil {
			return full(err)
		}
	}
	at := int64(i) * chunkBytes
	if _, err := s.f.WriteAt(data, at); err != nil {
		return full(err)
	}
	s.end = max(s.end, at+int64(len(data)))
	return nil
}

func (s *fileSpool) reader() io.Reader { return io.NewSectionReader(s.f, 0, s.end) }

func (s *fileSpool) close() {
	if s.f != nil {
		_ = errors.Join(s.f.Close(), os.Remove(s.f.Name())) // the next start tries again
		s.f = nil
	}
}

// noSpool is the spool of an upload that has ended.
type noSpool struct{}

func (noSpool) write(int, []byte) error { return errUnknownUpload }

func (noSpool) reader() io.Reader { return noSpool{} }

func (noSpool) close() {}

// Read implements io.Reader.
func (noSpool) Read([]byte) (int, error) { return 0, errUnknownUpload }
