package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/longtake/longtake/internal/job"
)

// verifier passes an object's bytes on and checks their size and SHA-256 on the way. It works on
// the stream, so a clip is never held in memory to be checked.
type verifier struct {
	src  io.ReadCloser
	o    job.Object
	hash hash.Hash // of the bytes so far
	n    int64     // their number
}

// verify returns a reader of src that fails with ErrDamaged where src is not the object.
func verify(src io.ReadCloser, o job.Object) *verifier {
	return &verifier{src: src, o: o, hash: sha256.New()}
}

// Read implements io.Reader. It returns io.EOF only if all bytes were right, so a caller that reads
// to the end without an error has the object.
func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.src.Read(p)
	v.hash.Write(p[:n])
	v.n += int64(n)
	switch {
	case v.n > v.o.Size:
		return n, fmt.Errorf("%w: %.80s is longer than %d bytes", ErrDamaged, v.o.Name, v.o.Size)
	case err != io.EOF:
		return n, err
	case v.n < v.o.Size:
		return n, fmt.Errorf("%w: %.80s has %d of %d bytes", ErrDamaged, v.o.Name, v.n, v.o.Size)
	}
	if sum := hex.EncodeToString(v.hash.Sum(nil)); sum != v.o.SHA256 {
		return n, fmt.Errorf("%w: %.80s has SHA-256 %.12s...", ErrDamaged, v.o.Name, sum)
	}
	return n, io.EOF
}

// Close implements io.Closer.
func (v *verifier) Close() error { return v.src.Close() }
