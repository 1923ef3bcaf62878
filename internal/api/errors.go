package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// kinds maps the coordinators' errors to answers. Others are 500. The order matters where an error
// wraps several: the first that fits is the answer. Codes are part of the API: programs compare
// them.
var kinds = append([]errorKind{
	{coord.ErrAlone, http.StatusConflict, "alone"},
	{coord.ErrSnapshot, http.StatusUnprocessableEntity, "bad_snapshot"},
	{coord.ErrNotFound, http.StatusNotFound, "not_found"},
	{coord.ErrQueueFull, http.StatusTooManyRequests, "queue_full"},
	{coord.ErrNoSpace, http.StatusInsufficientStorage, "no_space"},
	{coord.ErrKeyReused, http.StatusConflict, "idempotency_key_reused"},
	{job.ErrTransition, http.StatusConflict, "wrong_state"},
	{coord.ErrNoModel, http.StatusServiceUnavailable, "no_model"},
	{coord.ErrUpgrading, http.StatusServiceUnavailable, "upgrading"},
	{coord.ErrNotReady, http.StatusServiceUnavailable, "not_ready"},
	{coord.ErrNotLeader, http.StatusServiceUnavailable, "no_leader"},
}, refusedKinds...)

// errorKind is how an error is answered.
type errorKind struct {
	err    error
	status int
	code   string
}

// explain turns any error into its answer: one that is an answer already stays; a *job.FieldError
// names its field as "param". Type follows the status: below 500 the fault is in the request, from
// there on it is the server's.
func explain(err error) *schema.Error {
	var known *schema.Error
	if errors.As(err, &known) {
		return known
	}

	if e, _ := explainQuota(err); e != nil {
		return e
	}
	if e := explainRollout(err); e != nil {
		return e
	}
	var field *job.FieldError
	var named *access.FieldError
	if errors.As(err, &named) {
		err = &job.FieldError{Field: named.Field, Value: named.Value, Allowed: named.Allowed}
	}
	if errors.As(err, &field) {
		e := invalid(field.Field, "%s", field.Error())
		e.Code = "invalid_value"
		return e
	}

	// An error that nobody foresaw is shown whole: it is the operator who reads it, as a rule.
	e := &schema.Error{Status: http.StatusInternalServerError, Message: err.Error(),
		Type: "server_error"}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			e.Status, e.Code = k.status, k.code
			break
		}
	}
	if e.Status < 500 {
		e.Type = "invalid_request_error"
	}
	return e
}

// invalid is the answer to a request with a wrong field. format follows the house form for bad
// input, "X is Y; allowed: Z"; param is "" where no one field is to blame.
func invalid(param, format string, args ...any) *schema.Error {
	return &schema.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...),
		Type: "invalid_request_error", Param: param, Code: "invalid_request"}
}

// overloaded is the answer to a request for which there is no room at the moment. Clients may try
// again soon.
func overloaded(message string) *schema.Error {
	return &schema.Error{Status: http.StatusServiceUnavailable, Type: "server_error",
		Code: "overloaded", Message: message}
}

// fail answers with an error. One that another coordinator could answer becomes a redirect to it,
// with a message for clients that do not follow redirects. 307 and not 302, so that a client
// repeats the method and the body; OpenAI's SDKs do.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	e := explain(err)
	var elsewhere *coord.NotLeaderError
	if errors.As(err, &elsewhere) && elsewhere.HTTP != "" {
		w.Header().Set("Location", elsewhere.HTTP+r.URL.RequestURI())
		e = &schema.Error{Status: http.StatusTemporaryRedirect, Type: "invalid_request_error",
			Code: "not_leader", Message: fmt.Sprintf("%v; ask there (curl -L follows)", elsewhere)}
	}

	if e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests {
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", retryAfter(err))
		}
	}
	reply(w, e.Status, schema.ErrorBody{Error: e})
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(encode(v), '\n')) //nolint:errcheck // the client is gone
}
