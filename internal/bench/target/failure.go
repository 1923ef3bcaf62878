package target

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Failures are counted by kind, so that a report can tell a server that sheds load from one that
// breaks, and both from one that cheats. A message is one line, and what a server says in it is cut
// and made printable: it ends in terminals and in files of results.

// Kind says what went wrong with a request, for counting.
type Kind string

// Kinds of failures. A load generator counts Refused apart: the server did what it ought to do
// under too much load. Wrong is a clip that is not what was asked for.
const (
	Refused     Kind = "refused"     // 429 or 503: too much at the moment
	Rejected    Kind = "rejected"    // another 4xx: the request itself
	Failed      Kind = "failed"      // a 5xx, or a clip that the server gave up
	Malformed   Kind = "malformed"   // an answer that is none of the dialect
	Wrong       Kind = "wrong"       // a clip with other frames, size or rate
	Unreachable Kind = "unreachable" // nobody answers, or breaks off
	Late        Kind = "late"        // longer than Options.Timeout
	Cancelled   Kind = "cancelled"   // the caller ended it
)

// Failure is why a clip was not made, or does not count.
type Failure struct {
	Kind   Kind
	Status int // of HTTP; 0: the failure is none of HTTP
	// RetryAfter is when the server wants to be asked again; 0: it does not say.
	RetryAfter time.Duration
	Message    string // one line
	Err        error  // the cause; nil: the message is all

	body []byte // of the answer
}

// Error implements error.
func (f *Failure) Error() string { return f.Message }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// fail makes a Failure of a kind; %w among the arguments is its cause.
func fail(k Kind, format string, args ...any) *Failure {
	err := fmt.Errorf(format, args...)
	return &Failure{Kind: k, Message: err.Error(), Err: errors.Unwrap(err)}
}

// ended tells apart why a context is over: the caller's own, or the limit of one clip.
func ended(caller context.Context, limit time.Duration, err error) *Failure {
	if caller.Err() != nil {
		return &Failure{Kind: Cancelled, Message: "cancelled", Err: caller.Err()}
	}
	return &Failure{Kind: Late, Err: err,
		Message: fmt.Sprintf("the clip is not there after %v (--timeout)", limit)}
}
