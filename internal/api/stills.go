package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// stillsMax is how many pictures are made of clips at once: decoding takes a core each, and shards
// may run on the same machine.
const stillsMax = 2

// still is a picture that is made of a completed clip's frames.
type still struct {
	// The Content-Type, and the extension of the name to save it under.
	kind, ext string
	// Makes the picture; the spec has the length and the rate of the frames.
	make func(context.Context, *media.Stills, job.Spec) ([]byte, error)
}

// stills are those that there are, by variant. thumbnail and spritesheet are OpenAI's variants;
// preview is longtake's.
var stills = map[string]still{
	"thumbnail": {media.AnimationType, ".webp", func(_ context.Context, s *media.Stills,
		_ job.Spec) ([]byte, error) {
		return s.Thumbnail()
	}},
	"spritesheet": {"image/jpeg", ".jpg", func(ctx context.Context, s *media.Stills,
		_ job.Spec) ([]byte, error) {
		return s.Sheet(ctx)
	}},
	"preview": {media.AnimationType, ".webp", func(ctx context.Context, s *media.Stills,
		spec job.Spec) ([]byte, error) {
		return s.Animation(ctx, float64(spec.Frames)/float64(spec.FPS))
	}},
}

// sendStill makes a picture of a completed clip and sends it. Decoding takes a core, so few are
// made at once, and others wait.
func (s *server) sendStill(w http.ResponseWriter, r *http.Request, v coord.View,
	variant string) error {
	if v.State != job.Completed {
		return fmt.Errorf("video %s has no %s, it is %s: %w", v.ID, variant, v.State, job.ErrTransition)
	}
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-r.Context().Done():
		return r.Context().Err()
	}

	frames, done, err := s.frames(r.Context(), v)
	if err != nil {
		return err
	}
	defer done()
	what := stills[variant]
	b, err := what.make(r.Context(), frames, v.Spec)
	if err != nil {
		return fmt.Errorf("cannot make the %s of video %s: %w", variant, v.ID, err)
	}

	h := w.Header()
	// A picture follows from its clip, so the clip's sum names it, and a browser may keep it.
	h.Set("ETag", fmt.Sprintf("%q", v.Result.Video.SHA256+"-"+variant))
	h.Set("Content-Type", what.kind)
	h.Set("Cache-Control", "private, max-age=3600")
	h.Set("Content-Disposition", fmt.Sprintf("inline; filename=%q", string(v.ID)+"-"+variant+what.ext))
	http.ServeContent(w, r, "", v.Finished, bytes.NewReader(b))
	return nil
}

// frames opens the frames of a clip; done closes them. Of an MP4, which this process cannot decode,
// they are those of the last preview, while the coordinator has it.
func (s *server) frames(ctx context.Context, v coord.View) (*media.Stills, func(), error) {
	f, _ := fileOf(v, "video")
	if media.Format(v.Spec.Format) == media.MP4 {
		p, err := s.service.Preview(ctx, v.ID)
		if errors.Is(err, coord.ErrNotFound) {
			return nil, nil, fmt.Errorf("pictures of an mp4 are made from its last preview, and this "+
				"coordinator does not have that (any more); allowed: clips of webm or png: %w", err)
		}
		if err != nil {
			return nil, nil, err
		}
		frames, err := media.OpenAnimation(p.Data)
		return frames, func() {}, err
	}

	in, err := s.open(ctx, v, f)
	if err != nil {
		return nil, nil, err
	}
	frames, err := media.OpenStills(media.Format(v.Spec.Format), &randomly{in: in}, f.o.Size)
	if err != nil {
		in.Close()
		return nil, nil, err
	}
	return frames, func() { in.Close() }, nil
}

// randomly reads at offsets of what can only seek. One reader at a time has the offset.
type randomly struct {
	mu sync.Mutex
	in io.ReadSeeker
}

// ReadAt implements io.ReaderAt.
func (r *randomly) ReadAt(p []byte, at int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.in.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r.in, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
