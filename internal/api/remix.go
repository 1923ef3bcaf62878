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
// has to be completed; all that the request leaves out is as there. The new clip contains the old
// one: its frames are those there, and those added. A video that is not completed is
// job.ErrTransition, a 409.
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
	// The latents are in the object store already: nothing is copied, and the job's reference keeps
	// them.
	req.Inputs = []job.Input{{Role: job.RoleStart, Kind: job.KindLatents, Object: v.Result.Latents,
		Latents: m.Latents(v.Spec.Frames)}}
	if req, err = req.Extend(m, v.Spec.Width, v.Spec.Height); err != nil {
		return err
	}
	rec, err := s.queue(r, req)
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// remix queues the request of another video again, with what the body changes. The seed stays, too,
// unless the body has one. Any video can be remixed, also one that failed.
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
	req.Inputs, req.RemixOf = v.Spec.Inputs, v.ID

	// What is not said comes back as the first client wrote it: its alias, its seconds.
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
// video and the model of the new one: that of the video, unless the request names another. Of a
// wrong body and an unknown id, the body is what the error tells.
func (s *server) readChange(w http.ResponseWriter, r *http.Request, id job.ID) (q *request,
	v coord.View, m job.Model, err error) {
	q, in, err := s.readRequest(w, r)
	defer in.drop()
	if err == nil && in != nil {
		err = invalid(in[0].field.Name, "%s does not go with a video that is given already; allowed: "+
			"leave it out", in[0].field.Name)
	}
	if err == nil {
		v, err = s.service.Get(r.Context(), id)
	}

	// A clip of another model is one of its own.
	if err == nil {
		name := v.Spec.Model
		if q.Says("model") {
			name = q.Model
		}
		m, err = s.service.Model(r.Context(), name)
	}
	return q, v, m, err
}
