package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/api/source"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
)

// Config is what the API serves.
type Config struct {
	// Service is the coordinator, or a stand-in for it in tests: everything that the API shows or
	// changes goes through it.
	Service coord.Service
	// Certificates lets processes join and renews what they show; nil in a cluster without any.
	Certificates coord.Certificates
	// Metrics is served on /metrics. The API adds its own histogram, so one registry serves one API:
	// a second New with it panics.
	Metrics *prometheus.Registry
	// Log gets a line for each request, at info if the request changes something; nil discards them.
	Log *slog.Logger
	// Hosts are the names under which clients reach the API, from func Hosts. Addresses and localhost
	// always work; any other Host is a 403, which is what stops DNS rebinding.
	Hosts []string
	// Origins are of pages from elsewhere whose scripts may use the API, such as
	// https://clips.example; "*" is any. They have passed CheckAccess.
	Origins []string
	// Insecure is what /readyz?verbose says of a network that is open to all; "": it is not.
	Insecure string

	// Auth says who may use it.
	Auth Auth
	// Identity is what this coordinator shows to the leader, to which it sends requests on; nil: it
	// sends clients there, by redirects.
	Identity *pki.Identity

	Clients
}

// server answers the routes of the API. Its channels bound what goes on at once: taking a place is
// sending to one, which never waits.
type server struct {
	service coord.Service
	certs   coord.Certificates // nil: there are none
	log     *slog.Logger
	metrics httpMetrics
	auth    Auth
	// Those who were not let in, by address.
	failures *failures
	forward  *forwarder // nil: by redirects
	rates    rates

	// Places of requests at once, by routeKind. A request with a body takes one of bodies instead of
	// brief, as up to a MiB of it is in memory.
	brief, bodies, streams, loads chan struct{}

	// Inputs being received: each may have 1 GB on disk, or a decoded picture in memory.
	inputs chan struct{}
	// Gets pictures from URLs; with http.fetch-urls off it refuses them all.
	fetch *fetcher
	// Other names of models, each with the model that it stands for, "" for the default, which is
	// model, or if that is "" the coordinator's.
	aliases map[string]string
	model   string
	// Of clips whose request names none; "" leaves it to the coordinator.
	format string
	// Of the synchronous route, and where it leaves clips.
	generations Generations
	outbox      outbox
	// One snapshot at a time is saved or restored, through a temporary file.
	snapshots chan struct{}
	// What /readyz?verbose says of an open network.
	insecure string
	// Pictures made of clips: each takes a core while it decodes.
	making chan struct{}
}

// New returns the API of a coordinator. It starts no goroutine, and panics if the registry has an
// API's counts already. cmd/coordinator and package local give it to Serve.
func New(c Config) http.Handler {
	s := newServer(c)
	g := newGuard(s.mux(s.routes(c.Metrics)), c.Hosts, c.Origins)
	g.refused = s.service.Refused
	return g
}

// newServer returns the server of a coordinator, without the guard around it: New adds that.
func newServer(c Config) *server {
	s := &server{service: c.Service, log: c.Log, metrics: newHTTPMetrics(c.Metrics),
		auth: c.Auth, failures: newFailures(time.Now), forward: newForwarder(c.Identity),
		brief: make(chan struct{}, requestsMax), bodies: make(chan struct{}, bodiesMax),
		streams: make(chan struct{}, streamsMax), loads: make(chan struct{}, loadsMax),
		inputs: make(chan struct{}, inputsMax), snapshots: make(chan struct{}, 1),
		making: make(chan struct{}, stillsMax), aliases: c.Aliases, format: c.Format, model: c.Model,
		generations: c.Generations,
		outbox:      outbox{dir: c.Generations.Dir, most: c.Generations.Most},
		insecure:    c.Insecure, certs: c.Certificates,
		fetch: newFetcher(c.FetchURLs, isPublic, nil)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// create queues a video and answers with it.
func (s *server) create(w http.ResponseWriter, r *http.Request) error {
	rec, err := s.submit(w, r, "")
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// edit is create for a clip that is made from a video, as OpenAI's route has it.
func (s *server) edit(w http.ResponseWriter, r *http.Request) error {
	rec, err := s.submit(w, r, job.RoleVideo)
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// submit queues the job that a request asks for. A picture or latents are decoded and stored before
// the job is queued, so that no job waits for bytes that turn out to be neither. The order of
// checks is that of their cost: the fields, then the model, then the bytes. wants is the role of an
// input that has to be there; "": none has to.
func (s *server) submit(w http.ResponseWriter, r *http.Request, wants job.Role) (none job.Record,
	err error) {
	q := &request{}
	m, in, err := s.asked(q, w, r, wants)
	defer in.drop()
	if err != nil {
		return none, err
	}
	req, err := s.storeInputs(r.Context(), q.Request, m, in)
	if err != nil {
		return none, err
	}
	return s.queue(r, req)
}

// asked reads a request for a clip into q, and returns its model and what came with it, which
// nobody has looked at yet. The caller drops that, also after an error.
func (s *server) asked(q *request, w http.ResponseWriter, r *http.Request, wants job.Role) (
	m job.Model, in inputs, err error) {
	in, err = s.readInto(q, w, r)
	if err == nil {
		err = q.prompted()
	}
	if err == nil && wants != "" && !in.have(wants) {
		f, _ := wants.Field()
		err = invalid(f.Name, `%s is missing; allowed: a file of a form, a data URL, or {"id": `+
			`"video_..."} of a completed video`, f.Name)
	}
	if err != nil {
		return m, in, err
	}

	// Not in readRequest: a remix or an extension keeps the model of its clip instead.
	q.Model = cmp.Or(q.Model, s.model)
	if m, err = s.service.Model(r.Context(), q.Model); err != nil {
		return m, in, err
	}
	q.anyFormat, q.Format = q.Format == "", cmp.Or(q.Format, s.format)

	for _, f := range in { // before any is decoded
		if allowed := m.Refuses(f.field.Role); allowed != "" {
			return m, in, &job.FieldError{Field: f.name, Value: "given", Allowed: allowed}
		}
	}
	return m, in, nil
}

// storeInputs returns a request with what was received for it, if anything. It costs: a URL is
// fetched, a picture decoded, and in the end the bytes are copied to the store. What is stored and
// then not queued is dropped by the coordinator after an hour.
func (s *server) storeInputs(ctx context.Context, req job.Request, m job.Model, in inputs) (
	job.Request, error) {
	if in == nil {
		return req, nil
	}
	req, files, err := s.openInputs(ctx, req, m, in)
	if err != nil {
		return req, err
	}

	// A request that is wrong is told before anything is decoded in the clip's size, and stored.
	spec, err := m.Resolve(req.Unstored(), nil)
	if err != nil {
		return req, err
	}
	for i, f := range files {
		if req.Inputs[i].Object, err = s.storeInput(ctx, f, spec); err != nil {
			return req, err
		}
	}
	return req, nil
}

// openInputs looks at what was received, and returns the request with it; nothing is stored.
func (s *server) openInputs(ctx context.Context, req job.Request, m job.Model, in inputs) (
	job.Request, []*source.File, error) {
	files := make([]*source.File, len(in))
	for i, f := range in {
		var err error
		if f.made == "" {
			files[i], err = f.open(ctx)
		} else {
			var spec job.Spec
			if files[i], spec, err = f.copyMade(ctx); err == nil && req.FPS == nil {
				req.FPS = &spec.FPS // a clip of a clip has its rate
			}
		}

		if err == nil {
			req, err = files[i].Request(ctx, req, m)
		}
		if err != nil {
			return req, files, err
		}
	}
	return req, files, nil
}

// storeInput stores what a job is to find of a file.
func (s *server) storeInput(ctx context.Context, f *source.File, spec job.Spec) (job.Object,
	error) {
	what, done, err := f.Stored(ctx, spec)
	if err != nil {
		return job.Object{}, err
	}
	defer done()
	return s.service.StoreInput(ctx, what)
}

// queue creates a job. Under an idempotency key that was used, it returns the first one's. The same
// key with another request is coord.ErrKeyReused, a 409. This is what lets SDKs repeat a POST whose
// answer was lost.
func (s *server) queue(r *http.Request, req job.Request) (job.Record, error) {
	req.Key = r.Header.Get("Idempotency-Key")
	return s.service.Create(r.Context(), req)
}

// get answers with one video.
func (s *server) get(w http.ResponseWriter, r *http.Request) error {
	return s.replyView(w)(s.service.Get(r.Context(), id(r)))
}

// cancel stops a video, or marks one that runs: its shards stop in the middle of a step.
func (s *server) cancel(w http.ResponseWriter, r *http.Request) error {
	return s.replyView(w)(s.service.Cancel(r.Context(), id(r)))
}

// retry queues the spec of a video again, as a new video.
func (s *server) retry(w http.ResponseWriter, r *http.Request) error {
	rec, err := s.service.Retry(r.Context(), id(r))
	return s.replyView(w)(coord.View{Record: rec}, err)
}

// replyView returns what answers with a job, or passes an error on. A video that is not final comes
// with a hint when to ask again. The hint is the header that OpenAI's create-and-poll helpers read;
// without it they ask once a second.
func (s *server) replyView(w http.ResponseWriter) func(coord.View, error) error {
	return func(v coord.View, err error) error {
		if err != nil {
			return err
		}
		if !v.State.Final() {
			w.Header().Set("Openai-Poll-After-Ms", strconv.FormatInt(pollAfter(v).Milliseconds(), 10))
		}
		reply(w, http.StatusOK, toVideo(v))
		return nil
	}
}

// pollAfter is when it is worth asking again: after a part of the time that the stage is going to
// take, between pollLeast and pollMost.
func pollAfter(v coord.View) time.Duration {
	return min(max(v.Progress.ETA/pollPart, pollLeast), pollMost)
}

// delete forgets a job. One that is not final is cancelled first, which takes until its shards have
// stopped: schema.DeleteTime at most. OpenAI's route deletes finished videos only; clients of other
// servers use it to cancel.
func (s *server) delete(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), schema.DeleteTime)
	defer cancel()
	v, err := s.service.Get(ctx, id(r))
	// A job that ends by itself before it is cancelled is as good: end takes that as success.
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

// end cancels a job and waits until it is final. If its stream of changes ends before, the error
// asks for the delete to be repeated. A job that has ended already is no error.
func (s *server) end(ctx context.Context, id job.ID) error {
	if _, err := s.service.Cancel(ctx, id); err != nil && !errors.Is(err, job.ErrTransition) {
		return err
	}

	// Watch sends the state now at first, so a job that ended in between is not waited for.
	views, err := s.service.Watch(ctx, id)
	if err != nil {
		return err
	}
	for v := range views {
		if v.State.Final() {
			return nil
		}
	}
	return fmt.Errorf("cannot delete job %s yet: its shards are still stopping; delete it "+
		"again once it is cancelled: %w", id, job.ErrTransition)
}

// id is the video that the path names.
func id(r *http.Request) job.ID { return job.ID(r.PathValue("id")) }
