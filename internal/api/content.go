package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// file is what a completed job left behind, in the form in which it is sent.
type file struct {
	// Where the bytes are, with their size and SHA-256.
	o job.Object
	// What errors call it, such as "clip".
	what string
	// The Content-Type, and the extension of the name to save it under.
	kind, ext string
}

// bytesType is for what browsers should save, not show.
const bytesType = "application/octet-stream"

// fileOf returns the file that a variant of a video's content names, false for what is none. "" is
// the video, as OpenAI's SDKs ask for it.
func fileOf(v coord.View, variant string) (file, bool) {
	switch variant {
	case "", "video", "partial": // there is more than a part now
		out := file{v.Result.Video, "clip", bytesType, ""}
		if f := media.Format(v.Spec.Format); slices.Contains(media.Formats(), f) {
			out.kind, out.ext = f.ContentType(), f.Extension()
		}
		return out, true
	case "latents":
		return file{v.Result.Latents, "file of latents", bytesType, ".safetensors"}, true
	}
	return file{}, false
}

// content sends what a job left behind: its file, a picture made from that, or of a running job
// what there is so far. The content type is never one that a shard named: a shard could have a
// browser run its bytes.
func (s *server) content(w http.ResponseWriter, r *http.Request) error {
	variant := r.URL.Query().Get("variant")
	if variant == "preview" {
		return s.preview(w, r)
	}
	_, isStill := stills[variant]
	if _, ok := fileOf(coord.View{}, variant); !ok && !isStill {
		return &job.FieldError{Field: "variant", Value: fmt.Sprintf("%.64q", variant),
			Allowed: "video, thumbnail, spritesheet, preview, partial, latents"}
	}

	v, err := s.service.Get(r.Context(), id(r))
	if err != nil {
		return err
	}
	if isStill {
		return s.sendStill(w, r, v, variant)
	}
	if variant == "partial" && v.State != job.Completed {
		return s.partial(w, r, v)
	}

	if v.State != job.Completed {
		return fmt.Errorf("video %s has no content, it is %s: %w", v.ID, v.State, job.ErrTransition)
	}
	f, _ := fileOf(v, variant)
	return s.sendFile(w, r, v, f)
}

// sendFile answers as far as the request's conditions and ranges say. The ETag is the SHA-256 of
// the bytes, so a client may go on with a download at any coordinator. The first byte may take
// minutes: the coordinator compares a large file with its sum first.
func (s *server) sendFile(w http.ResponseWriter, r *http.Request, v coord.View, f file) error {
	in, err := s.open(r.Context(), v, f)
	if err != nil {
		return err
	}
	defer in.Close()

	h := w.Header()
	h.Set("ETag", strconv.Quote(f.o.SHA256))
	h.Set("Content-Type", f.kind)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", string(v.ID)+f.ext))
	if !strings.HasPrefix(r.Header.Get("Range"), "bytes=") {
		r.Header.Del("Range") // of a unit that is not known here: RFC 9110, 14.2
	}

	seen := &noted{ReadSeeker: in}
	http.ServeContent(w, r, "", v.Finished, seen)
	if seen.err != nil && r.Context().Err() == nil {
		// The status is sent, and fewer bytes than it promised: net/http cuts the connection.
		s.log.Warn("a download broke off", "video", v.ID, "error", seen.err)
	}
	return nil
}

// open opens a file of a completed job. If the file is damaged or gone, the error is an answer that
// says how to get it again: a retry makes the same bytes. A retry queues a clip of the same spec
// and seed.
func (s *server) open(ctx context.Context, v coord.View, f file) (io.ReadSeekCloser, error) {
	in, err := s.service.Open(ctx, f.o)
	if err == nil {
		return in, nil
	}
	say := func(status int, kind, code, what string) error {
		return &schema.Error{Status: status, Type: kind, Code: code, Message: fmt.Sprintf("the %s of "+
			"video %s is %s in the object store; POST /v1/videos/%[2]s/retry (longtake job retry "+
			"%[2]s) makes the same one again", f.what, v.ID, what)}
	}

	switch {
	case errors.Is(err, coord.ErrDamaged):
		return nil, say(http.StatusInternalServerError, "server_error", "content_damaged", "damaged")
	case errors.Is(err, coord.ErrNotFound):
		return nil, say(http.StatusGone, "invalid_request_error", "content_gone", "gone")
	}
	return nil, err
}

// noted remembers why reading failed. http.ServeContent does not tell.
type noted struct {
	io.ReadSeeker
	err error
}

// Read implements io.Reader.
func (n *noted) Read(p []byte) (int, error) {
	k, err := n.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return k, err
}

// preview sends the latest preview of a job, or of a completed one frames of its clip.
func (s *server) preview(w http.ResponseWriter, r *http.Request) error {
	if v, err := s.service.Get(r.Context(), id(r)); err == nil && v.State == job.Completed &&
		v.Spec.Format != string(media.MP4) {
		return s.sendStill(w, r, v, "preview")
	}

	// An error of Get comes again here, as an answer.
	p, err := s.service.Preview(r.Context(), id(r))
	if err != nil {
		return err
	}

	// The next step makes another one under the same URL.
	h := w.Header()
	h.Set("Content-Type", media.AnimationType)
	h.Set("Content-Length", strconv.Itoa(len(p.Data)))
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodHead {
		w.Write(p.Data) //nolint:errcheck // the reader has left
	}
	return nil
}

// partial sends the seconds that a running job has decoded so far. They are WebM parts, one after
// the other, so a player can begin while the rest is made. A later request has more of them.
func (s *server) partial(w http.ResponseWriter, r *http.Request, v coord.View) error {
	format := media.Format(v.Spec.Format)

	parts := v.Seconds()
	switch {
	case format != media.WebM:
		return fmt.Errorf("video %s is made as %s, which cannot be shown in part; allowed: webm: %w",
			v.ID, format, job.ErrTransition)
	case len(parts) == 0:
		return fmt.Errorf("video %s has no decoded seconds yet: it is %s; they appear while it is "+
			"decoded: %w", v.ID, v.State, coord.ErrNotFound)
	}

	first, err := s.service.Open(r.Context(), parts[0])
	if err != nil {
		return err
	}
	defer first.Close()
	start, err := opening(first, v, parts)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", format.ContentType())
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return nil
	}

	// There is no Content-Length: where a part fails, only the cut connection tells the client.
	_, err = io.Copy(w, start)
	for _, o := range parts[1:] {
		if err == nil {
			err = s.pour(r.Context(), w, o)
		}
	}
	if err != nil {
		s.log.Warn("a download broke off", "video", v.ID, "error", err)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // a cut connection is all that is left to say
	}
	return nil
}

// opening is the first of a clip's parts, with a header in front that says how long these are.
// PartSeconds is the length of a part, in seconds of the clip.
func opening(first io.Reader, v coord.View, parts []job.Object) (io.Reader, error) {
	s := v.Spec
	o := media.Options{Width: s.Width, Height: s.Height, Frames: s.Frames}
	o.FPS, o.Per = s.FPS.Fraction()
	sizes := make([]int64, len(parts))
	for i, p := range parts {
		sizes[i] = p.Size
	}
	head, err := media.Opening(first, o, sizes, s.PartSeconds())
	if errors.Is(err, media.ErrOpening) { // another version has made it: it plays as it is
		err = nil
	}
	return io.MultiReader(bytes.NewReader(head), first), err
}

// pour copies an object to a client.
func (s *server) pour(ctx context.Context, w io.Writer, o job.Object) error {
	f, err := s.service.Open(ctx, o)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}
