package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/longtake/longtake/internal/coord"
)

// errNoShard says that jobs would only wait. It is a 503 of the probes alone: a request is taken
// and queued all the same.
var errNoShard = fmt.Errorf("%w: no shard is registered at the moment; start one",
	coord.ErrNotReady)

// livez says that the process answers; it looks at nothing else. Kubernetes restarts what does not
// answer, so a lost leader or a full disk must not show here.
func (s *server) livez(w http.ResponseWriter, _ *http.Request) error {
	fmt.Fprintln(w, "ok")
	return nil
}

// readyz says whether clips can be made through this coordinator; with ?verbose, what was looked
// at. A follower is ready when it knows a leader, to which it sends clients. The body is plain
// text, as for Kubernetes' own servers; a 503 without ?verbose is an error in JSON that says the
// first reason. /health is the same, for clients of vLLM and SGLang.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) error {
	report, ready := s.readiness(r.Context())
	if !r.URL.Query().Has("verbose") {
		if ready == nil {
			fmt.Fprintln(w, "ok")
		}
		return ready
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if ready != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprint(w, report)
	return nil
}

// report is a line for each part of a coordinator that was looked at, as ?verbose shows it. Its
// form is that of ?verbose on Kubernetes' API server, with [+] and [-].
type report struct{ strings.Builder }

// line adds a line: whether a part is well, its name, and how it is.
func (r *report) line(ok bool, what, format string, args ...any) {
	mark := "+"
	if !ok {
		mark = "-"
	}
	fmt.Fprintf(r, "[%s] %s: %s\n", mark, what, fmt.Sprintf(format, args...))
}

// readiness looks at all parts and returns the report, and the first thing that keeps this
// coordinator from being ready. A leader needs a model and a shard; a follower's shards are for its
// leader to know.
func (s *server) readiness(ctx context.Context) (text string, ready error) {
	ready = s.service.Ready(ctx)
	st, err := s.service.Status(ctx)
	models := s.service.Models(ctx)

	switch {
	case ready != nil: // as it is
	case err != nil:
		ready = errors.Join(coord.ErrNotReady, err)
	case st.Leads() && len(models) == 0:
		ready = coord.ErrNoModel
	case st.Leads() && st.Nodes == 0:
		ready = errNoShard
	}
	var b report
	if ready == nil {
		b.line(true, "coordinator", "ready")
	} else {
		b.line(false, "coordinator", "%v", ready)
	}
	if err == nil {
		b.status(st)
	}
	if s.insecure != "" {
		b.line(false, "network", "%s", s.insecure)
	}
	for _, m := range models {
		b.line(true, "model", "%q", m.Name)
	}
	if len(models) == 0 {
		b.line(false, "model", "not known before the first shard registers")
	}
	return b.String(), ready
}

// status tells of what the coordinator knows of the cluster.
func (r *report) status(st coord.Status) {
	r.line(st.Leader != "", "raft", "%s in term %d, led by %q", st.State, st.Term, st.Leader)
	if st.Space.Full == "" {
		r.line(true, "disk", "%d of %d bytes are free", st.Space.Free, st.Space.Total)
	} else {
		r.line(false, "disk", "%s", st.Space.Full)
	}
	switch {
	case !st.Leads():
		r.line(true, "shards", "known to the leader")
	case st.Nodes == 0:
		r.line(false, "shards", "none is registered")
	default:
		r.line(true, "shards", "%d registered", st.Nodes)
	}
}
