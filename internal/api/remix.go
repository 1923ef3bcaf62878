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

func (s *server) extendVideo(w http.ResponseWriter, r *http.Request, id job.ID) error {
	c, v, m, err := s.readChange(w, r, id)
	if err != nil {
		return err
	}
	if v.State != job.Completed {
		return fmt.Errorf("video %s cannot be extended, it is %s: %w", v.ID, v.State,
			job.ErrTransition)
	}
	c.inherit(v.Spec, m)
	req, err := c.Request(m)
	if err != nil {
		return err
	}
	req.Start = job.Start{Kind: job.StartLatents, Object: v.Result.Latents,
		Latents: m.Latents(v.Spec.Frames)}
	if err := c.extend(&req, m, v.Spec.Width, v.Spec.Height); err != nil {
		return err
	}
	rec, err := s.queue(r, req)
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// remix queues the request of another video again, with what the body changes, its seed included if
// it says none.
func (s *server) remix(w http.ResponseWriter, r *http.Request) error {
	c, v, m, err := s.readChange(w, r, id(r))
	if err == nil {
		err = c.prompted()
	}
	if err != nil {
		return err
	}
	said := c
	c.inherit(v.Spec, m)
	c.inheritClip(v.Spec)
	req, err := c.Request(m)
	if err != nil {
		return err
	}
	req.Start, req.RemixOf = v.Spec.Start, v.ID
	if said.Model == "" {
		req.ModelAsked = v.Spec.ModelAsked
	}
	if said.Seconds == nil && said.Frames == nil {
		req.SecondsAsked = v.Spec.SecondsAsked
	}
	rec, err := s.queue(r, req)
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// readChange reads a request that says what is to be other than in a video.
func (s *server) readChange(w http.ResponseWriter, r *http.Request, id job.ID) (c Create,
	v coord.View, m job.Model, err error) {
	c, in, err := s.readCreate(w, r)
	defer in.drop()
	if err == nil && in != nil {
		err = invalid(inputField, "%s does not go with a video that is given already; allowed: leave "+
			"it out", inputField)
	}
	if err == nil {
		v, err = s.service.Get(r.Context(), id)
	}
	if err == nil {
		m, err = s.model(r)
	}
	return c, v, m, err
}

// inheritClip takes what c leaves out of the clip's form and place from a spec.
func (c *Create) inheritClip(s job.Spec) {
	if c.Size == "" && c.Width == nil && c.Height == nil {
		c.Width, c.Height = &s.Width, &s.Height
	}
	if c.Seconds == nil && c.Frames == nil {
		c.Frames = &s.Frames
		for _, f := range [][2]*string{{&c.Schedule, (*string)(&s.Schedule)},
			{&c.Long, (*string)(&s.Long)}} {
			if *f[0] == "" {
				*f[0] = *f[1]
			}
		}
	}
	take(&c.Shards, s.Shards)
	take(&c.Threads, s.Threads)
	take(&c.Priority, s.Priority)
	if c.Mesh == "" && s.Mesh != (job.Mesh{}) {
		c.Mesh = s.Mesh.String()
	}
}
