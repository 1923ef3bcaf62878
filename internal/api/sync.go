package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// createSync queues a video, waits until it is final and sends its file. A client that leaves
// cancels the job: nobody else knows of it. One whose coordinator stops leading is told how to go
// on. The route is vLLM-Omni's. A clip that fails is a 500 with the code and the message of its
// error, which SDKs must not repeat: it would fail again.
func (s *server) createSync(w http.ResponseWriter, r *http.Request) error {
	v, err := s.made(w, r, func() (job.Record, error) { return s.submit(w, r, "") })
	if err != nil {
		return err
	}
	f, _ := fileOf(v, "")
	return s.sendFile(w, r, v, f)
}

// made queues the job of a request, and waits until it is completed. It has a place among the
// bodies while it is read, and none while it waits. An error is the answer.
func (s *server) made(w http.ResponseWriter, r *http.Request,
	submit func() (job.Record, error)) (none coord.View, err error) {
	leave, err := placeIn(s.bodies)
	if err != nil {
		return none, err
	}
	rec, err := submit()
	leave()
	if err != nil {
		return none, err
	}

	views, err := s.service.Watch(r.Context(), rec.ID)
	if err != nil {
		return none, err
	}
	for v := range views {
		if !v.State.Final() {
			continue
		}
		w.Header().Set("X-Video-Id", string(v.ID))
		if v.State != job.Completed {
			w.Header().Set("X-Should-Retry", "false")
			failed := toVideo(v).Error
			return none, &schema.Error{Status: http.StatusInternalServerError, Type: "server_error",
				Code: failed.Code, Message: failed.Message}
		}
		return v, nil
	}

	// The stream of changes ended before the job did: the leadership is lost, the server stops, or the
	// client is gone.
	if !left(r) {
		return none, overloaded("the coordinator does not lead any more; GET /v1/videos/" +
			string(rec.ID))
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), cancelTime)
	defer cancel()
	if _, err := s.service.Cancel(ctx, rec.ID); err != nil && !errors.Is(err, job.ErrTransition) {
		s.log.Warn("cannot cancel the job of a client that left", "job", rec.ID, "error", err)
	}
	return none, r.Context().Err()
}

// left reports whether a client is gone, and not the server about to be.
func left(r *http.Request) bool {
	return r.Context().Err() != nil && !errors.Is(context.Cause(r.Context()), http.ErrServerClosed)
}

// cancelTime bounds the cancelling of a job whose client has left. The request's own context has
// ended by then.
const cancelTime = 10 * time.Second
