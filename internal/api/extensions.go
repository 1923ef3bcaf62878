package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// videoField names the clip that an extension goes on from; a form may call it video[id], too. In
// the body it stands next to the fields of a request.
const videoField = "video"

// extensions is extend for clients that name the video in the body, as OpenAI's SDKs do. The body
// is turned into JSON without the video, and read again as any extension's.
func (s *server) extensions(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
	var fields map[string]json.RawMessage
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "multipart/form-data":
		fields, err = formFields(r)
	case err == nil && kind == "application/json":
		fields, err = jsonFields(r.Body)
	default:
		_, _, err = s.readRequest(w, r) // which says what is allowed
	}
	if err != nil {
		return tooLarge(err)
	}

	// What is left goes through readRequest, which checks it, so nothing of it is judged here.
	id, err := videoID(fields[videoField])
	if err != nil {
		return err
	}
	delete(fields, videoField)
	r.Header.Set("Content-Type", "application/json")
	r.Body = io.NopCloser(bytes.NewReader(encode(fields)))
	return s.extendVideo(w, r, id)
}

// jsonFields reads a JSON object. A name that stands twice is an error; addMember reads its body
// with it, too.
func jsonFields(body io.Reader) (map[string]json.RawMessage, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, bodyError("the JSON object", err)
	}
	list, err := members(text)
	if err != nil {
		return nil, bodyError("the JSON object", err)
	}
	fields := map[string]json.RawMessage{}
	for _, m := range list {
		fields[m.name] = m.raw
	}
	return fields, nil
}

// videoID takes the id out of {"id": "video_..."}, or of the text alone. OpenAI wants the object;
// the text is what people write first.
func videoID(raw json.RawMessage) (job.ID, error) {
	var ref struct {
		ID job.ID `json:"id"`
	}
	if len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &ref.ID); err != nil {
			return "", bodyError(videoField, err)
		}
	} else if len(raw) > 0 && json.Unmarshal(raw, &ref) != nil {
		ref.ID = ""
	}
	if ref.ID == "" {
		return "", invalid(videoField, `video is missing or is none; allowed: {"id": "video_..."} of a `+
			"completed video")
	}
	return ref.ID, nil
}

// formFields reads a form without files as the JSON object that it stands for. A file is refused
// before it is read: OpenAI extends uploaded videos, but here the latents are needed.
func formFields(r *http.Request) (map[string]json.RawMessage, error) {
	m, err := r.MultipartReader()
	if err != nil {
		return nil, invalid("", "cannot read the form: %v", err)
	}
	fields := map[string]json.RawMessage{}

	for n := 0; ; n++ {
		part, err := m.NextPart()
		// Any error but an answer of ours is the client's: a form that breaks off, or is none.
		if errors.Is(err, io.EOF) {
			return fields, nil
		}
		if err == nil {
			err = checkPart(n, part)
		}
		if err == nil {
			err = addField(fields, part)
		}
		var known *schema.Error
		if err != nil && !errors.As(err, &known) {
			err = bodyError("the form", err)
		}
		if err != nil {
			return nil, err
		}
	}
}

// addField adds a part of a form to the fields, as the JSON that it stands for: video[id] is
// OpenAI's way to name the video, scenes are JSON in a form as well, and anything else is a text.
// The caller bounds the body by bodyMax, so the value may be read whole.
func addField(fields map[string]json.RawMessage, part *multipart.Part) error {
	name := part.FormName()
	if part.FileName() != "" {
		return invalid(name, "%.64q is a file; allowed: video[id], the id of a video that was made "+
			"here, which goes on from its latents", name)
	}

	value, err := io.ReadAll(part)
	if err != nil {
		return err
	}
	if fields[name] != nil {
		return invalid(name, "%.64q is given twice; allowed: once", name)
	}

	switch {
	case name == "video[id]" || name == "video.id":
		fields[videoField] = encode(string(value))
	case json.Valid(value) && (name == videoField || name == "storyboard"):
		fields[name] = value
	default:
		fields[name] = encode(string(value))
	}
	return nil
}
