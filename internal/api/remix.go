package api

import (
	"fmt"
	"net/http"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// extend queues a clip that goes on from a completed one, which the path names.
func (s *server) extend(w http.ResponseWriter, r *http.Request) error {
	return s.extendVideo(w, r, id(r))
}

// extendVideo queues a clip that goes on from the video id. It needs that video's latents, so it
// has to be completed; all that the request leaves out is as there.
func (s *server) extendVideo(w http.ResponseWriter, r *http.Request, id job.ID) error {
	q, v, m, err := s.readChange(w, r, id)
	if err != nil {
		return err
	}
	if v.State != job.Completed {
		return fmt.Errorf("cannot extend video %s, which is %s: %w", v.ID, v.State,
			job.ErrTransition)
	}

	req := q.Request
	req.Inherit(m, v.Spec, job.ByBoth)
	req.Source = job.Source{Kind: job.SourceLatents, Object: v.Result.Latents,
		Latents: m.Latents(v.Spec.Frames)}
	if req, err = req.Extend(m, v.Spec.Width, v.Spec.Height); err != nil {
		return err
	}
	rec, err := s.queue(r, req)
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// remix queues the request of another video again, with what the body changes. The seed stays, too,
// unless the body has one.
func (s *server) remix(w http.ResponseWriter, r *http.Request) error {
	q, v, m, err := s.readChange(w, r, id(r))
	if err == nil {
		err = q.prompted()
	}
	if err != nil {
		return err
	}

	req := q.Request
	req.Inherit(m, v.Spec, job.ByRemix)
	req.Source, req.RemixOf = v.Spec.Source, v.ID
	if !q.Says("model") {
		req.ModelAsked = v.Spec.ModelAsked
	}
	if !q.Says("seconds") && !q.Says("num_frames") {
		req.SecondsAsked = v.Spec.SecondsAsked
	}
	rec, err := s.queue(r, req)
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// readChange reads a request that says what is to be other than in the video id, and returns that
// video and the model that is served.
func (s *server) readChange(w http.ResponseWriter, r *http.Request, id job.ID) (q *request,
	v coord.View, m job.Model, err error) {
	q, in, err := s.readRequest(w, r)
	defer in.drop()
	if err == nil && in != nil {
		err = invalid(job.SourceField, "%s does not go with a video that is given already; allowed: "+
			"leave it out", job.SourceField)
	}
	if err == nil {
		v, err = s.service.Get(r.Context(), id)
	}
	if err == nil {
		m, err = s.model(r)
	}
	return q, v, m, err
}
