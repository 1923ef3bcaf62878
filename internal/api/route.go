package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// handler answers a request, or returns the error to answer with: see fail. It has not written
// anything when it returns an error, unless the reader has left. Only wrap calls it, on the
// goroutine that net/http has for the request.
type handler func(http.ResponseWriter, *http.Request) error

// route is a method and a path, and how they are answered. path is a pattern of http.ServeMux; with
// the method it is the label in the metrics, too.
type route struct {
	method, path string
	f            handler
	kind         routeKind
	// scope is what a client needs for it.
	scope access.Scope
}

// routeKind says how long answering takes, and so which limit of requests at once a route counts
// for: streams of hours must not keep out what takes a moment.
type routeKind int

const (
	// What takes a moment, a JSON answer: requestsMax at once, or bodiesMax with a body.
	brief routeKind = iota
	// What takes as long as a job, and next to no memory: streams of events, and waiting creates.
	stream
	// What takes as long as its reader or writer: files, lists and snapshots.
	load
	// What has to be answered whatever else goes on, for Kubernetes and Prometheus: no limit.
	probe
)

// metricsPath is for Prometheus. It counts as a probe, but its Host has to be known: it tells of
// jobs.
const metricsPath = "/metrics"

// probePaths are those that say nothing of jobs; they are answered under any Host. Kubernetes asks
// by the address of a pod, a load balancer by any name.
var probePaths = map[string]bool{"/livez": true, "/readyz": true, "/health": true}

// routes lists the API. docs/api.md describes each; a test compares. The route with noRoute is
// there so that clients get a 501 that says what to use, not the 405 of /v1/videos/{id}, which its
// path matches.
func (s *server) routes(metrics *prometheus.Registry) []route {
	return append(s.pkiRoutes(), []route{
		// Videos: OpenAI's routes, then those of other servers and of longtake.
		{"POST", "/v1/videos", s.create, brief, access.VideosWrite},
		{"GET", "/v1/videos", s.list, load, access.VideosRead},
		{"POST", "/v1/videos/estimate", s.estimate, brief, access.VideosWrite},
		{"GET", "/v1/videos/{id}", s.get, brief, access.VideosRead},
		{"DELETE", "/v1/videos/{id}", s.delete, brief, access.VideosWrite},
		{"GET", "/v1/videos/{id}/content", s.content, load, access.VideosRead},
		{"POST", "/v1/videos/{id}/cancel", s.cancel, brief, access.VideosWrite},
		{"POST", "/v1/videos/{id}/retry", s.retry, brief, access.VideosWrite},
		{"POST", "/v1/videos/{id}/extensions", s.extend, brief, access.VideosWrite},
		{"POST", "/v1/videos/{id}/remix", s.remix, brief, access.VideosWrite},
		{"POST", "/v1/videos/extensions", s.extensions, brief, access.VideosWrite},
		{"POST", "/v1/videos/sync", s.createSync, stream, access.VideosWrite},
		{"POST", "/v1/videos/edits", s.edit, brief, access.VideosWrite},
		{"POST", "/v1/videos/characters", noRoute, brief, access.VideosWrite},
		{"POST", "/v1/videos/generations", s.generate, stream, access.VideosWrite},
		{"GET", "/v1/videos/{id}/events", s.events, stream, access.VideosRead},

		{"GET", "/v1/usage", s.usage, load, access.VideosRead},

		// Models, in OpenAI's shape. A name may have slashes, as those of Hugging Face do.
		{"GET", "/v1/models", s.models, brief, anyKey},
		{"GET", "/v1/models/{id...}", s.getModel, brief, anyKey},

		// The cluster, for operators and the command line.
		{"GET", "/v1/nodes", s.nodes, brief, access.NodesRead},
		{"POST", "/v1/nodes/{name}/drain", s.drain, brief, access.NodesWrite},
		{"POST", "/v1/nodes/{name}/undrain", s.undrain, brief, access.NodesWrite},
		{"POST", "/v1/cluster/members", s.addMember, brief, access.Admin},
		{"DELETE", "/v1/cluster/members/{id}", s.removeMember, brief, access.Admin},
		{"POST", "/v1/cluster/transfer", s.transfer, brief, access.Admin},
		{"GET", "/v1/cluster/snapshot", s.saveSnapshot, load, access.Admin},
		{"POST", "/v1/cluster/snapshot", s.restoreSnapshot, load, access.Admin},
		{"GET", "/v1/cluster", s.cluster, brief, access.NodesRead},
		{"GET", "/v1/rollout", s.rollouts, brief, access.Admin},
		{"GET", "/v1/rollout/{name...}", s.getRollout, brief, access.Admin},
		{"POST", "/v1/rollout/{name...}", s.setRollout, brief, access.Admin},
		{"DELETE", "/v1/rollout/{name...}", s.deleteRollout, brief, access.Admin},
		{"GET", "/v1/audit", s.auditLog, load, access.Admin},
		{"GET", "/v1/audit/status", s.auditStatus, brief, access.Admin},

		// What the client itself may have.
		{"GET", "/v1/quota", s.quota, brief, anyKey},

		// Who may use all this.
		{"GET", "/v1/keys", s.keys, brief, access.Admin},
		{"POST", "/v1/keys", s.createKey, brief, access.Admin},
		{"GET", "/v1/keys/{name}", s.key, brief, access.Admin},
		{"POST", "/v1/keys/{name}", s.changeKey, brief, access.Admin},
		{"POST", "/v1/keys/{name}/rotate", s.rotateKey, brief, access.Admin},
		{"DELETE", "/v1/keys/{name}", s.revokeKey, brief, access.Admin},
		{"GET", "/v1/teams", s.teams, brief, access.Admin},
		{"POST", "/v1/teams/{name}", s.setTeam, brief, access.Admin},
		{"DELETE", "/v1/teams/{name}", s.removeTeam, brief, access.Admin},

		// Probes. /health is what SGLang and vLLM call theirs.
		{"GET", "/livez", s.livez, probe, anyone},
		{"GET", "/readyz", s.readyz, probe, anyone},
		{"GET", "/health", s.readyz, probe, anyone},
		{"GET", metricsPath, serveMetrics(metrics), probe, access.Metrics},
	}...)
}

// serveMetrics answers a Prometheus server. The registry is the coordinator's, with the API's own
// counts in it. More than eight scrapes at once get promhttp's own 503.
func serveMetrics(r *prometheus.Registry) handler {
	h := promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 8})
	return func(w http.ResponseWriter, req *http.Request) error {
		h.ServeHTTP(w, req)
		return nil
	}
}

// methods answers the requests for one path, by method. HEAD is GET, of which net/http drops the
// body; OPTIONS and methods that the path lacks are answered with those it has. http.ServeMux would
// answer 405 by itself, but in plain text, not in OpenAI's shape of an error.
type methods map[string]http.HandlerFunc

// ServeHTTP implements http.Handler.
func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := m[r.Method]
	if r.Method == http.MethodHead {
		f, ok = m[http.MethodGet]
	}
	if ok {
		f(w, r)
		return
	}

	w.Header().Set("Allow", m.allowed())
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	fail(w, r, &schema.Error{Status: http.StatusMethodNotAllowed, Type: "invalid_request_error",
		Code: "method_not_allowed", Message: fmt.Sprintf("%.32s is not for %.128s; allowed: %s",
			r.Method, r.URL.Path, m.allowed())})
}

// allowed lists the methods of a path for the header Allow.
func (m methods) allowed() string {
	names := []string{http.MethodOptions}
	for name := range m {
		names = append(names, name)
		if name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// mux leads requests to their routes. A slash at a path's end makes no difference. Anything else is
// a 404 in JSON, whatever its method.
func (s *server) mux(routes []route) http.Handler {
	paths := map[string]methods{}
	for _, r := range routes {
		if paths[r.path] == nil {
			paths[r.path] = methods{}
		}
		paths[r.path][r.method] = s.wrap(r)
	}
	mux := http.NewServeMux()
	for path, m := range paths {
		mux.Handle(path, m)
	}

	mux.HandleFunc("/", s.wrap(route{path: "/", f: noRoute, scope: anyKey}))
	// The path is changed in a copy: what the log shows is what was asked for.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = s.receivedFrom(r)
		if p := r.URL.Path; len(p) > 1 && strings.HasSuffix(p, "/") {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = strings.TrimSuffix(p, "/"), strings.TrimSuffix(r.URL.RawPath, "/")
		}
		mux.ServeHTTP(w, r)
	})
}

// wrap puts around a handler what every route needs: who asks and whether that may, a limit of
// requests at once, deadlines for the body and for each piece of the answer, a line in the log, a
// count in the metrics, and the answer for an error. The deferred calls run in reverse: the place
// is left and the rest of the body gets its moment before the request is logged and counted.
func (s *server) wrap(rt route) http.HandlerFunc {
	label := rt.label()
	return func(w http.ResponseWriter, r *http.Request) {
		out := &answer{ResponseWriter: w, control: http.NewResponseController(w),
			status: http.StatusOK}
		in := watchBody(r, out.control)
		start := time.Now()
		defer s.metrics.observe(label, start, out)
		var who access.Principal
		defer func() { s.record(r, start, out, who) }()
		defer in.linger()

		// A connection beyond the limit is there for one probe: see gate.
		spare := r.Context().Value(spareKey{}) != nil
		if spare {
			w.Header().Set("Connection", "close")
		}

		// Who is not let in takes no place. What the leader answers, the leader judges.
		var err error
		to := s.elsewhere(rt, label, r)
		if to == nil {
			who, err = s.admit(out, r, rt.scope)
		}
		if err == nil && to == nil {
			err = s.takeRate(who)
		}
		if err == nil {
			var leave func()
			if leave, err = s.enter(rt, r, spare); err == nil {
				defer leave()
				if to != nil {
					s.forward.sendOn(out, r, to)
				} else {
					err = rt.f(out, as(r, who))
				}
			}
		}

		if err != nil {
			s.noteRefusal(as(r, who).Context(), label, err)
			s.log.Debug("request refused", "id", r.Header.Get(requestIDHeader), "method", r.Method,
				"path", r.URL.Path, "error", err)
			// Most of what the client still sends is read, so that it reads the answer, too.
			in.linger()
			fail(out, r, s.stay(err))
		}
	}
}

// as returns a request as that of a principal: what the service does for it is that one's.
func as(r *http.Request, p access.Principal) *http.Request {
	ctx := access.WithOrigin(access.With(r.Context(), p), access.Origin{Addr: r.RemoteAddr,
		Request: r.Header.Get(requestIDHeader)})
	return r.WithContext(ctx)
}

// record logs a request that was answered: at level info if it changed something, at debug if it
// only looked. The id is that of the answer's X-Request-Id, so that a client's report leads to the
// line.
func (s *server) record(r *http.Request, start time.Time, out *answer, p access.Principal) {
	level := slog.LevelDebug
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		level = slog.LevelInfo
	}
	s.log.Log(r.Context(), level, "request", "id", r.Header.Get(requestIDHeader), "from", r.RemoteAddr,
		"owner", p.ID, "method", r.Method, "path", r.URL.Path, "status", out.status,
		"took", time.Since(start).Round(time.Microsecond))
}

// enter takes a place among the requests at once, which leave gives back. With none free, the error
// is a 503 that says so; probes are always let in. A chunked body has length -1 and counts as a
// body.
func (s *server) enter(rt route, r *http.Request, spare bool) (leave func(), err error) {
	if rt.kind == probe {
		return func() {}, nil
	}
	places := s.brief
	switch {
	case spare:
		return nil, overloaded("too many connections; try again")
	case rt.kind == stream:
		places = s.streams
	case rt.kind == load:
		places = s.loads
	case r.ContentLength != 0:
		places = s.bodies
	}
	return placeIn(places)
}

// placeIn takes one of some places, or none: a request never waits for its place, as a client knows
// better whether to wait.
func placeIn(places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		return nil, overloaded("too many requests at once; try again")
	}
}
