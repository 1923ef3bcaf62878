package api

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/job"
)

// actions says what a route is called in the audit log. Commands leave entries of these names; what
// is refused before it becomes one is counted under them. Routes that are not here only look: their
// refusals have the route itself as their action. A test wants every route that changes something
// to be in one of the two lists.
var actions = map[string]string{
	"POST /v1/videos":                 "video.create",
	"POST /v1/videos/estimate":        "video.estimate",
	"DELETE /v1/videos/{id}":          "video.delete",
	"POST /v1/videos/{id}/cancel":     "video.cancel",
	"POST /v1/videos/{id}/retry":      "video.retry",
	"POST /v1/videos/{id}/extensions": "video.create",
	"POST /v1/videos/{id}/remix":      "video.create",
	"POST /v1/videos/extensions":      "video.create",
	"POST /v1/videos/sync":            "video.create",
	"POST /v1/videos/generations":     "video.create",
	"POST /v1/videos/edits":           "video.create",
	"POST /v1/nodes/{name}/drain":     "node.drain",
	"POST /v1/nodes/{name}/undrain":   "node.undrain",
	"POST /v1/cluster/members":        "member.add",
	"DELETE /v1/cluster/members/{id}": "member.remove",
	"POST /v1/cluster/transfer":       "leader.transfer",
	"GET /v1/cluster/snapshot":        "snapshot.save",
	"POST /v1/cluster/snapshot":       "snapshot.restore",
	"POST /v1/keys":                   "key.create",
	"POST /v1/keys/{name}":            "key.update",
	"POST /v1/keys/{name}/rotate":     "key.rotate",
	"DELETE /v1/keys/{name}":          "key.revoke",
	"POST /v1/teams/{name}":           "team.set",
	"DELETE /v1/teams/{name}":         "team.remove",
	"POST /v1/pki/join":               "pki.join",
	"POST /v1/pki/renew":              "pki.renew",
	"POST /v1/pki/tokens":             "pki.token",
	"DELETE /v1/pki/tokens/{id}":      "pki.void",
	"POST /v1/pki/revoked":            "pki.revoke",
	"POST /v1/pki/rotate":             "pki.rotate",
	"DELETE /v1/pki/rotate":           "pki.drop",

	"DELETE /v1/pki/revoked/{role}/{name}": "pki.allow",

	"POST /v1/rollout/{name...}":   "rollout.set",
	"DELETE /v1/rollout/{name...}": "rollout.delete",
}

// changesNothing are routes whose method says otherwise.
var changesNothing = map[string]bool{
	"POST /v1/videos/characters": true, // there is no such thing here
}

// label names a route in metrics and in the audit log.
func (rt route) label() string { return strings.TrimSpace(rt.method + " " + rt.path) }

// noteRefusal counts a request that was refused to whoever asked, for the audit log: without it,
// those who try doors would leave no trace. That there is no room at present says nothing of them.
func (s *server) noteRefusal(ctx context.Context, label string, err error) {
	e := explain(err)
	switch {
	case e.Code == "queue_full":
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden,
		e.Status == http.StatusTooManyRequests:
		action := actions[label]
		if action == "" {
			action = label
		}
		s.service.Refused(ctx, action, e.Code)
	}
}

// auditLog streams the entries that are wanted, one JSON object a line, as the files of this
// coordinator have them: a follower has the same ones as the leader.
func (s *server) auditLog(w http.ResponseWriter, r *http.Request) error {
	q, err := auditQuery(r)
	if err != nil {
		return err
	}

	w.Header().Set("Content-Type", "application/x-ndjson")
	out, n := bufio.NewWriterSize(w, 64<<10), 0
	err = s.service.Audit(r.Context(), q, func(line []byte) error {
		n += len(line) + 1
		_, err := out.Write(line)
		if err == nil {
			err = out.WriteByte('\n')
		}
		return err
	})

	// The reader must not take for all there is what has gone out before an error.
	switch {
	case err != nil && out.Buffered() == n:
		return err
	case err != nil:
		panic(http.ErrAbortHandler)
	}
	out.Flush() //nolint:errcheck // the reader has left
	return nil
}

// auditQuery reads which entries are wanted. A parameter that it does not know is an error: what
// was left out of an audit by a typo would not be missed.
func auditQuery(r *http.Request) (q audit.Query, err error) {
	values := r.URL.Query()
	for name := range values {
		switch name {
		case "from", "to", "actor", "action":
		default:
			return q, invalid(name, "unknown parameter %.64q; allowed: from, to, actor, action", name)
		}
	}

	// Both are compared as they are; what they may be is not for this to know.
	q.Actor, q.Action = values.Get("actor"), values.Get("action")
	if err = bound("from", values.Get("from"), &q.From, &q.After); err == nil {
		err = bound("to", values.Get("to"), &q.To, &q.Before)
	}
	// A day is meant to its end, as that of a report on usage is.
	if _, day := time.Parse(time.DateOnly, values.Get("to")); err == nil && day == nil {
		q.Before = q.Before.AddDate(0, 0, 1).Add(-1)
	}
	return q, err
}

// bound reads a bound: the number of an entry, a time or a day.
func bound(name, text string, seq *uint64, at *time.Time) (err error) {
	if text == "" {
		return nil
	}
	if *seq, err = strconv.ParseUint(text, 10, 64); err == nil && *seq > 0 {
		return nil
	}
	*seq = 0
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if *at, err = time.Parse(form, text); err == nil {
			return nil
		}
	}
	return &job.FieldError{Field: name, Value: fmt.Sprintf("%.64q", text),
		Allowed: "the number of an entry from 1, a time such as 2026-01-31T12:00:00Z, or a day"}
}

// auditStatus says where the audit log stands on this coordinator.
func (s *server) auditStatus(w http.ResponseWriter, r *http.Request) error {
	st, err := s.service.AuditStatus(r.Context())
	if err == nil {
		reply(w, http.StatusOK, st)
	}
	return err
}
