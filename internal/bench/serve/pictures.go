package serve

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/media"
)

// Files are compared when nothing is measured any more: decoding takes as long as some clips, and
// downloads are work for the server. Of a server that keeps its clips nothing has to be downloaded
// before; of one that does not, a clip is made once more, which costs time and nothing else.

// gone says that a clip's file cannot be had, and why.
func gone(format string, args ...any) error {
	return fmt.Errorf("its file cannot be had: "+format, args...)
}

// A verdict that nobody can look into is believed by nobody, so the files of wrong clips stay. They
// are few, as --fidelity is, and right ones are removed at once.

// pair is the files of a clip and of its reference. They lie in the folder of the run, in clips,
// and stay there if the clip is wrong, so that somebody can look.
type pair struct {
	own, reference *os.File
	keep           bool
}

// Two clips are in files and not in memory, as minutes of video have gigabytes, and as a decoder
// that is another program wants a path.

// newPair creates the two files, empty.
func (b *Bench) newPair(q result.Request) (*pair, error) {
	dir := filepath.Join(cmp.Or(b.Dir, os.TempDir()), "clips")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}

	// The names have the clip's number, and more, as a run that goes on compares them again.
	own, err := os.CreateTemp(dir, fmt.Sprintf("%d-*", q.Index))
	if err != nil {
		return nil, err
	}

	other, err := os.CreateTemp(dir, fmt.Sprintf("%d-reference-*", q.Index))
	if err != nil {
		own.Close()
		os.Remove(own.Name())
		return nil, err
	}

	return &pair{own: own, reference: other}, nil
}

// close closes the files, and removes them unless they are kept, which have names by their kind.
func (p *pair) close() {
	for _, f := range []*os.File{p.own, p.reference} {
		head := make([]byte, 12)
		n, _ := f.ReadAt(head, 0) // of none there is nothing to keep
		name := f.Name()
		f.Close()
		if !p.keep || n == 0 {
			os.Remove(name)
			continue
		}
		_ = os.Rename(name, name+kindOf(head[:n]))
	}
	os.Remove(filepath.Dir(p.own.Name())) // if nothing is in it
}

// Players go by suffixes, and servers send files without names.

// kindOf is the suffix of a file that begins so.
func kindOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")):
		return ".webm"
	case bytes.HasPrefix(head, []byte("PK")):
		return ".zip"
	}
	return ".mp4"
}

// The reference's file comes first: where it cannot be had, nothing has to be asked of the server
// that was measured. Equal files are found by their bytes, so that no decoder is needed for them.

// compare looks at the pictures of a clip and of the one that a reference made, whose file may be
// there already.
func (p *pair) compare(ctx context.Context, b *Bench, by Reference, q, o result.Request) (
	media.Likeness, error) {
	if err := fetch(ctx, by.Target, o.ID, p.reference); err != nil {
		return media.Likeness{}, err
	}

	if err := b.own(ctx, q, p.own); err != nil {
		return media.Likeness{}, err
	}

	if same, err := sameBytes(p.own, p.reference); same || err != nil {
		return media.Likeness{PSNR: math.Inf(1)}, err
	}

	l, err := media.Compare(ctx, p.own, p.reference, media.FrameRate{Frames: max(1, q.FPS),
		Seconds: 1})
	if err != nil {
		err = fmt.Errorf("its pictures could not be compared: %w", err)
	}

	return l, err
}

// sameBytes reports whether two files have the same bytes.
func sameBytes(a, b *os.File) (bool, error) {
	var sums [2][]byte
	for i, f := range []*os.File{a, b} {
		sum := sha256.New()
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return false, err
		}
		if _, err := io.Copy(sum, f); err != nil {
			return false, err
		}
		sums[i] = sum.Sum(nil)
	}
	return bytes.Equal(sums[0], sums[1]), nil
}

// fetch has a file of a server's, unless it is there.
func fetch(ctx context.Context, from target.Target, id string, to *os.File) error {
	if info, err := to.Stat(); err != nil || info.Size() > 0 {
		return err
	}
	f, ok := from.(target.Fetcher)
	if !ok {
		return gone("the server sends it with its answer alone (--content)")
	}
	if err := f.Fetch(ctx, id, to); err != nil {
		return gone("%w", err)
	}
	return nil
}

// own has the file of a clip that was measured. Of a server that keeps none it is made once more,
// and is the clip's if it is the same file. If it is another one, nothing is known of the clip: it
// may have been wrong under load alone, which a second file would hide.
func (b *Bench) own(ctx context.Context, q result.Request, to *os.File) error {
	if _, kept := b.Target.(target.Fetcher); kept {
		return fetch(ctx, b.Target, q.ID, to)
	}
	o, err := b.again(ctx, Reference{Target: b.Target}, q, to)
	switch {
	case err != nil:
		return gone("%w", err)
	case q.ContentSHA256 == "" || o.ContentSHA256 != q.ContentSHA256:
		return gone("the server keeps none, and made another one the next time")
	}
	return nil
}
