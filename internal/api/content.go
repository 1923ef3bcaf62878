package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// variants are the files of a completed job.
var variants = map[string]func(coord.View) (o job.Object, kind, ext string){
	"video": func(v coord.View) (job.Object, string, string) {
		return v.Result.Video, v.Result.ContentType, media.Format(v.Spec.Format).Extension()
	},
	"partial": func(v coord.View) (job.Object, string, string) { // there is more than a part now
		return v.Result.Video, v.Result.ContentType, media.Format(v.Spec.Format).Extension()
	},
	"latents": func(v coord.View) (job.Object, string, string) {
		return v.Result.Latents, "application/octet-stream", ".safetensors"
	},
}

// content sends a file; its ETag is the SHA-256 of its bytes.
func (s *server) content(w http.ResponseWriter, r *http.Request) error {
	variant := r.URL.Query().Get("variant")
	if variant == "preview" {
		return s.preview(w, r)
	}
	if variant == "" {
		variant = "video"
	}
	pick, ok := variants[variant]
	if !ok {
		return &job.FieldError{Field: "variant", Value: fmt.Sprintf("%.64q", variant),
			Allowed: "video, latents, preview, partial"}
	}
	v, err := s.service.Get(r.Context(), id(r))
	if err != nil {
		return err
	}
	if variant == "partial" && v.State != job.Completed {
		return s.partial(w, r, v)
	}
	if v.State != job.Completed {
		return fmt.Errorf("video %s has no content, it is %s: %w", v.ID, v.State, job.ErrTransition)
	}
	o, kind, ext := pick(v)
	h := w.Header()
	h.Set("ETag", strconv.Quote(o.SHA256))
	if r.Header.Get("If-None-Match") == h.Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	f, err := s.service.Open(r.Context(), o)
	if err != nil {
		h.Del("ETag")
		return err
	}
	defer f.Close()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.FormatInt(o.Size, 10))
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", string(v.ID)+ext))
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(w, f); err != nil {
		s.log.Warn("a download broke off", "video", v.ID, "error", err)
		panic(http.ErrAbortHandler) // the status is sent; a cut connection is all that is left to say
	}
	return nil
}

// preview sends the latest preview of a running job.
func (s *server) preview(w http.ResponseWriter, r *http.Request) error {
	p, err := s.service.Preview(r.Context(), id(r))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", media.AnimationType)
	h.Set("Content-Length", strconv.Itoa(len(p.Data)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodHead {
		w.Write(p.Data) //nolint:errcheck // the reader has left
	}
	return nil
}

// partial sends the seconds that a running job has decoded so far.
func (s *server) partial(w http.ResponseWriter, r *http.Request, v coord.View) error {
	format := media.Format(v.Spec.Format)
	parts := v.Seconds()
	switch {
	case format != media.WebM:
		return fmt.Errorf("video %s is made as %s, which cannot be shown in part; allowed: webm: %w",
			v.ID, format, job.ErrTransition)
	case len(parts) == 0:
		return fmt.Errorf("video %s has no second to show yet, it is %s; they come while it is decoded: "+
			"%w", v.ID, v.State, coord.ErrNotFound)
	}
	first, err := s.service.Open(r.Context(), parts[0])
	if err != nil {
		return err
	}
	defer first.Close()
	h := w.Header()
	h.Set("Content-Type", format.ContentType())
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return nil
	}
	_, err = io.Copy(w, first)
	for _, o := range parts[1:] {
		if err == nil {
			err = s.pour(r.Context(), w, o)
		}
	}
	if err != nil {
		s.log.Warn("a download broke off", "video", v.ID, "error", err)
		panic(http.ErrAbortHandler) // as above
	}
	return nil
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

// events streams a video's status until it is final.
func (s *server) events(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	views, err := s.service.Watch(ctx, id(r))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	out := http.NewResponseController(w)
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		var text string
		select {
		case v, ok := <-views:
			if !ok {
				return nil
			}
			b, err := json.Marshal(toVideo(v))
			if err != nil { // of types that are all ours
				panic(err)
			}
			text = fmt.Sprintf("event: video\ndata: %s\n\n", b)
		case <-alive.C:
			text = ": waiting\n\n"
		}
		if _, err := io.WriteString(w, text); err != nil {
			return nil // the reader has left
		}
		_ = out.Flush() // a writer that cannot, buffers
	}
}
