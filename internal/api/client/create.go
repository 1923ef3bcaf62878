package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// Create queues a video. It is asked for under a random key, so that what is sent again after a
// broken connection makes no second one. A field that the server refuses is a *schema.Error of
// status 400, whose Param names it.
func (c *Client) Create(ctx context.Context, r job.Request) (schema.Video, error) {
	b, err := json.Marshal(fieldsOf(r, true))
	if err != nil {
		return schema.Video{}, err
	}
	key := rand.Text()
	return again(ctx, func() (schema.Video, error) {
		return call[schema.Video](ctx, c, http.MethodPost, "/v1/videos", b, "Idempotency-Key", key)
	})
}

// Estimate returns what a video would take and cost. It is refused as Create is.
func (c *Client) Estimate(ctx context.Context, r job.Request, files ...File) (e schema.Estimate,
	err error) {
	b, kind := []byte(nil), "application/json"
	if len(files) > 0 {
		b, kind, err = encodeForm(r, files)
	} else {
		b, err = json.Marshal(fieldsOf(r, true))
	}
	if err != nil {
		return e, err
	}
	return call[schema.Estimate](ctx, c, http.MethodPost, "/v1/videos/estimate", b, "Content-Type",
		kind)
}

// File is what a clip is made from besides words, as a field of the request.
type File struct {
	Field, Name string // of the API, such as job.StartField; of the file
	io.Reader
	// Made is the id of a video that the coordinator has, in place of a file; "": none.
	Made string
}

// CreateFrom is Create of a video that is made from files, such as a picture that it starts from.
// All of them are held in memory, to be sent again if need be.
func (c *Client) CreateFrom(ctx context.Context, r job.Request, files ...File) (schema.Video,
	error) {
	b, kind, err := encodeForm(r, files)
	if err != nil {
		return schema.Video{}, err
	}
	key := rand.Text()
	return again(ctx, func() (schema.Video, error) {
		return call[schema.Video](ctx, c, http.MethodPost, "/v1/videos", b, "Idempotency-Key", key,
			"Content-Type", kind)
	})
}

// fieldsOf returns what r says, by the names of the API. A new video has a prompt, even an empty
// one, unless scenes stand for it; one that goes on from another video may leave the prompt to
// that.
func fieldsOf(r job.Request, isNew bool) map[string]any {
	fields := map[string]any{}
	for _, f := range job.Fields {
		if v, ok := f.Get(r); ok {
			fields[f.Name] = v
		}
	}
	if isNew && r.Scenes == nil {
		fields["prompt"] = r.Prompt
	}
	return fields
}

// encodeForm writes a request and its files as a form; the second result is its content type.
func encodeForm(r job.Request, files []File) ([]byte, string, error) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	fields := fieldsOf(r, true)
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		text, err := formText(fields[field])
		if err == nil {
			err = form.WriteField(field, text)
		}
		if err != nil {
			return nil, "", err
		}
	}

	// The files come last: a wrong field is refused before a GB was sent.
	for _, f := range files {
		if f.Made != "" {
			if err := form.WriteField(f.Field, f.Made); err != nil {
				return nil, "", err
			}
			continue
		}
		part, err := form.CreateFormFile(f.Field, filepath.Base(f.Name))
		if err == nil {
			_, err = io.Copy(part, f)
		}
		if err != nil {
			return nil, "", err
		}
	}
	err := form.Close()
	return b.Bytes(), form.FormDataContentType(), err
}

// formText writes a value as forms have it: a text as it is, and anything else as JSON.
func formText(v any) (string, error) {
	b, err := json.Marshal(v)
	var text string
	if err == nil && json.Unmarshal(b, &text) == nil {
		return text, nil
	}
	return string(b), err
}

// Extend queues a video that goes on from a completed one; what r leaves out is as there. A video
// that is not completed is a *schema.Error of status 409.
func (c *Client) Extend(ctx context.Context, id job.ID, r job.Request) (schema.Video, error) {
	b, err := json.Marshal(fieldsOf(r, false))
	if err != nil {
		return schema.Video{}, err
	}
	key := rand.Text()
	return again(ctx, func() (schema.Video, error) {
		return call[schema.Video](ctx, c, http.MethodPost, path(id, "/extensions"), b,
			"Idempotency-Key", key)
	})
}
