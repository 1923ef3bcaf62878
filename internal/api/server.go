package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// Limits of the server.
const (
	headerTime  = 10 * time.Second // to send a request's header
	bodyTime    = time.Minute      // to send its body
	inputTime   = 10 * time.Minute // to send one with an input
	idleTime    = 2 * time.Minute
	stopTime    = 3 * time.Second // for requests that run when the server stops
	headerMax   = 64 << 10        // bytes
	requestsMax = 4096            // at once
	inputsMax   = 8               // received at once: files on disk, pictures in memory
	deleteTime  = 30 * time.Second
	keepAlive   = 15 * time.Second // between signs of life on a stream
)

// Config is what the API serves.
type Config struct {
	Service coord.Service
	Metrics *prometheus.Registry // served, and added to
	Log     *slog.Logger         // nil: discarded
}

// handler answers a request, or returns the error to answer with.
type handler func(http.ResponseWriter, *http.Request) error

type server struct {
	service coord.Service
	log     *slog.Logger
	slots   chan struct{}
	inputs  chan struct{} // likewise, of those that are received
	metrics httpMetrics
}

// New returns the API of a coordinator.
func New(c Config) http.Handler {
	s := &server{service: c.Service, log: c.Log, slots: make(chan struct{}, requestsMax),
		inputs: make(chan struct{}, inputsMax)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.metrics = newHTTPMetrics(c.Metrics)
	mux := http.NewServeMux()
	routes := map[string]handler{
		"POST /v1/videos":                 s.create,
		"GET /v1/videos":                  s.list,
		"GET /v1/videos/{id}":             s.get,
		"DELETE /v1/videos/{id}":          s.delete,
		"GET /v1/videos/{id}/content":     s.content,
		"POST /v1/videos/{id}/cancel":     s.cancel,
		"POST /v1/videos/{id}/retry":      s.retry,
		"POST /v1/videos/{id}/extensions": s.extend,
		"GET /v1/videos/{id}/events":      s.events,
		"GET /v1/models":                  s.models,
		"GET /v1/nodes":                   s.nodes,
		"POST /v1/nodes/{name}/drain":     s.drain,
		"POST /v1/nodes/{name}/undrain":   s.undrain,
		"POST /v1/cluster/members":        s.addMember,
		"DELETE /v1/cluster/members/{id}": s.removeMember,
		"POST /v1/cluster/transfer":       s.transfer,
		"GET /v1/cluster/snapshot":        s.saveSnapshot,
		"POST /v1/cluster/snapshot":       s.restoreSnapshot,
		"GET /v1/cluster":                 s.cluster,
		"GET /livez":                      s.livez,
		"GET /readyz":                     s.readyz,
		"GET " + metricsPath:              serveMetrics(c.Metrics),
		"/":                               noRoute,
	}
	for pattern, f := range routes {
		mux.HandleFunc(pattern, s.wrap(pattern, f))
	}
	return mux
}

const metricsPath = "/metrics"

func serveMetrics(r *prometheus.Registry) handler {
	h := promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, req *http.Request) error {
		h.ServeHTTP(w, req)
		return nil
	}
}

func noRoute(_ http.ResponseWriter, r *http.Request) error {
	return &Error{Status: http.StatusNotFound, Type: "invalid_request_error", Code: "unknown_url",
		Message: fmt.Sprintf("there is no %s %.128s", r.Method, r.URL.Path)}
}

// wrap limits how many requests run, measures them, and answers with the error of f.
func (s *server) wrap(route string, f handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			fail(w, r, overloaded("too many requests at once; try again"))
			return
		}
		seen := &recorder{ResponseWriter: w, status: http.StatusOK}
		defer s.metrics.observe(route, time.Now(), seen)
		if err := f(seen, r); err != nil {
			s.log.Debug("request refused", "method", r.Method, "path", r.URL.Path, "error", err)
			fail(seen, r, err)
		}
	}
}

// Serve answers on l until ctx ends, then lets running requests finish for a moment. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerMax, BaseContext: func(net.Listener) context.Context { return life }}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("cannot serve HTTP: %w", err)
	case <-ctx.Done():
	}
	end() // streams
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve HTTP: %w", err)
	}
	return nil
}

func (s *server) create(w http.ResponseWriter, r *http.Request) error {
	c, in, err := s.readCreate(w, r)
	defer in.drop()
	if err == nil {
		err = c.prompted()
	}
	if err != nil {
		return err
	}
	m, err := s.model(r)
	if err != nil {
		return err
	}
	if in == nil {
		req, err := c.Request(m)
		if err != nil {
			return err
		}
		return s.queue(w, r, req)
	}
	req, err := in.Request(c, m)
	if err == nil {
		req.Start.Object, err = s.service.StoreInput(r.Context(), in.file)
	}
	if err != nil {
		return err
	}
	return s.queue(w, r, req)
}

// model is the one that the cluster serves.
func (s *server) model(r *http.Request) (job.Model, error) {
	m, ok := s.service.Model(r.Context())
	if !ok {
		return m, coord.ErrNoModel
	}
	return m, nil
}

// queue creates a job and answers with it.
func (s *server) queue(w http.ResponseWriter, r *http.Request, req job.Request) error {
	req.Key = r.Header.Get("Idempotency-Key")
	rec, err := s.service.Create(r.Context(), req)
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// List is a page of videos in OpenAI's shape.
type List struct {
	Object  string  `json:"object"` // "list"
	Data    []Video `json:"data"`
	FirstID job.ID  `json:"first_id"`
	LastID  job.ID  `json:"last_id"`
	HasMore bool    `json:"has_more"`
}

func (s *server) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	o := coord.ListOptions{After: job.ID(q.Get("after")), Order: q.Get("order")}
	if t := q.Get("limit"); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 {
			return &job.FieldError{Field: "limit", Value: fmt.Sprintf("%.64q", t), Allowed: "1 to 100"}
		}
		o.Limit = n
	}
	p, err := s.service.List(r.Context(), o)
	if err != nil {
		return err
	}
	out := List{Object: "list", Data: []Video{}, HasMore: p.More}
	for _, v := range p.Jobs {
		out.Data = append(out.Data, toVideo(v))
	}
	if n := len(out.Data); n > 0 {
		out.FirstID, out.LastID = out.Data[0].ID, out.Data[n-1].ID
	}
	reply(w, http.StatusOK, out)
	return nil
}

func (s *server) get(w http.ResponseWriter, r *http.Request) error {
	return s.replyView(w)(s.service.Get(r.Context(), id(r)))
}

func (s *server) cancel(w http.ResponseWriter, r *http.Request) error {
	return s.replyView(w)(s.service.Cancel(r.Context(), id(r)))
}

func (s *server) retry(w http.ResponseWriter, r *http.Request) error {
	rec, err := s.service.Retry(r.Context(), id(r))
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// replyView answers with a job, or passes its error on.
func (s *server) replyView(w http.ResponseWriter) func(coord.View, error) error {
	return func(v coord.View, err error) error {
		if err == nil {
			reply(w, http.StatusOK, toVideo(v))
		}
		return err
	}
}

// delete forgets a job; one that is not final is cancelled first.
func (s *server) delete(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), deleteTime)
	defer cancel()
	v, err := s.service.Get(ctx, id(r))
	if err == nil && !v.State.Final() {
		err = s.end(ctx, v.ID)
	}
	if err == nil {
		err = s.service.Delete(ctx, v.ID)
	}
	if err == nil {
		reply(w, http.StatusOK, map[string]any{"id": v.ID, "object": "video.deleted", "deleted": true})
	}
	return err
}

// end cancels a job and waits until it is final.
func (s *server) end(ctx context.Context, id job.ID) error {
	if _, err := s.service.Cancel(ctx, id); err != nil && !errors.Is(err, job.ErrTransition) {
		return err
	}
	views, err := s.service.Watch(ctx, id)
	if err != nil {
		return err
	}
	for v := range views {
		if v.State.Final() {
			return nil
		}
	}
	return fmt.Errorf("cannot delete job %s yet, it is being cancelled: %w", id, job.ErrTransition)
}

func id(r *http.Request) job.ID { return job.ID(r.PathValue("id")) }
