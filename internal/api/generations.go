package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// Generations are the settings of POST /v1/videos/generations.
type Generations struct {
	On bool
	// Dir is an absolute path of the folder in which clips are left for clients that ask for a path;
	// "": they cannot. Most is what they may take there, in bytes; 0: no limit.
	Dir  string
	Most int64
	// Latents is an absolute path of the folder whose files requests may name as latent_path; "": they
	// may name none.
	Latents string
}

// generation is a request of that route, with what only it has.
type generation struct {
	request
	bytes    bool     // the answer has the clip, and not its path
	boundary *float64 // where the second transformer takes over, as a part of the noise levels
	latent   string   // path of the initial latent; "": the clip begins with noise
}

// How the answer has the clip.
const (
	replyPath  = "video_path"
	replyBytes = "video_bytes"
)

// The route is for clients that were written for another server, which cannot be changed: what they
// send has to be taken as they mean it, and what they read has to be as they expect it. Where the
// two servers would make different clips of the same words, the request is refused.

// newGeneration returns a request that takes the fields of the route besides all others. What it
// does not know is ignored, as TensorRT-LLM's server does: clients send more than it has fields.
func newGeneration() *generation {
	g := &generation{}
	g.own = map[string]setter{"response_format": g.setReply, "boundary_ratio": g.setBoundary,
		job.LatentPathField: g.setLatentPath}
	return g
}

// setReply takes how the answer is to have the clip. On other routes the field makes no difference.
func (g *generation) setReply(_ *request, name string, v value) error {
	if v.text != replyPath && v.text != replyBytes {
		return v.wrong(name, replyPath+", "+replyBytes)
	}
	g.bytes = v.text == replyBytes
	return nil
}

// setBoundary takes a part of the noise levels. Which one it has to be is known with the model,
// which the body may name after it: check compares.
func (g *generation) setBoundary(_ *request, name string, v value) error {
	ratio, err := strconv.ParseFloat(v.text, 64)
	if err != nil || !v.isNumber() || !(ratio >= 0 && ratio <= 1) {
		return v.wrong(name, "0 to 1, that of the model")
	}
	g.boundary = &ratio
	return nil
}

// generate queues a clip, waits for it, and answers with its path or its bytes and nothing else,
// since MLPerf's client refuses whatever it does not know (mlcommons/endpoints, videogen). A client
// that leaves cancels the job, as with createSync.
func (s *server) generate(w http.ResponseWriter, r *http.Request) error {
	if !s.generations.On {
		w.Header().Set("X-Should-Retry", "false")
		return &schema.Error{Status: http.StatusNotFound, Type: "invalid_request_error",
			Code: "unknown_url", Message: "POST /v1/videos/generations is off; http.generations: true in " +
				"the settings of the coordinator turns it on. POST /v1/videos queues a video, " +
				"POST /v1/videos/sync also waits for it"}
	}

	g := newGeneration()
	v, err := s.made(w, r, func() (job.Record, error) { return s.submitGeneration(g, w, r) })
	if err != nil {
		return err
	}
	// Its file is opened before a byte is answered: that it is damaged or gone has to be an error.
	f, _ := fileOf(v, "")
	in, err := s.open(r.Context(), v, f)
	if err != nil {
		return err
	}
	defer in.Close()

	if g.bytes {
		return s.sendBytes(w, v.ID, in)
	}
	path, err := s.outbox.put(v.ID, f.ext, f.o.Size, in)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, map[string]any{"video_id": v.ID, replyPath: path})
	return nil
}

// submitGeneration queues the job of a request. One that names no format gets MP4, which VBench
// reads, or what the shards can write.
func (s *server) submitGeneration(g *generation, w http.ResponseWriter, r *http.Request) (
	none job.Record, err error) {
	m, in, err := s.asked(&g.request, w, r, "")
	defer func() { in.drop() }()
	if err == nil {
		err = g.check(m, s.outbox.dir)
	}
	if err == nil {
		in, err = s.withLatent(in, g.latent)
	}
	if err != nil {
		return none, err
	}
	req, err := s.storeInputs(r.Context(), g.Request, m, in)
	if err != nil {
		return none, g.byPath(err)
	}

	// Which formats there are depends on the shards, of which the leader judges when it queues a job.
	if g.anyFormat {
		req.Format = string(media.MP4)
	}
	rec, err := s.queue(r, req)
	var field *job.FieldError
	if g.anyFormat && errors.As(err, &field) && field.Field == "format" {
		req.Format = s.format
		rec, err = s.queue(r, req)
	}
	return rec, g.byPath(err)
}

// trainTimesteps are the noise levels that Wan's models were trained with, of which a boundary
// ratio is a part.
const trainTimesteps = 1000

// check judges what only this route has. The boundary is a part of a model: a client that expects
// another one expects another clip. A model of one transformer makes every step with the first, so
// its boundary is 0, and a scale for the second one changes nothing.
func (g *generation) check(m job.Model, dir string) error {
	if !g.bytes && dir == "" {
		return &job.FieldError{Field: "response_format", Value: strconv.Quote(replyPath),
			Allowed: replyBytes + "; a path needs http.generations-dir in the coordinator's settings"}
	}

	own := m.Experts.Boundary / trainTimesteps
	if g.boundary == nil {
		return nil
	}
	if math.Abs(*g.boundary-own) > 1e-9 {
		return &job.FieldError{Field: "boundary_ratio", Value: fmt.Sprint(*g.boundary),
			Allowed: fmt.Sprintf("%v, that of model %s, or leave it out", own, m.Name)}
	}
	if !m.Experts.Split() {
		g.GuidanceScale2 = nil
	}
	return nil
}

// sendBytes answers with a clip in base64, which goes out as it is read. After the first byte an
// error cuts the connection, so that nobody takes a part for the whole.
func (s *server) sendBytes(w http.ResponseWriter, id job.ID, in io.Reader) error {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"video_id":%s,"%s":"`, encode(id), replyBytes)
	// The id is of letters, and base64 needs no escapes, so this is JSON without an encoder of its
	// own.
	text := base64.NewEncoder(base64.StdEncoding, w)
	_, err := io.Copy(text, in)
	if err = errors.Join(err, text.Close()); err != nil {
		s.log.Warn("an answer broke off", "video", id, "error", err)
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, "\"}\n") //nolint:errcheck // the client is gone
	return nil
}
