package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
)

// How long a client waits for a coordinator that says nothing. A stream has a sign of life every
// schema.KeepAlive; a delete may wait for schema.DeleteTime until the job has stopped.
const (
	// Until a connection is there, and for its TLS.
	dialTime = 10 * time.Second
	// For the header of an answer to a question, and to a change, of which a delete takes longest.
	answerTime = 20 * time.Second
	changeTime = schema.DeleteTime + 15*time.Second
	// A coordinator reads a file whole, about 400 MB a second, before it sends the first byte.
	contentTime = 5 * time.Minute
	// Between two pieces of a body.
	silentTime = schema.KeepAlive + 30*time.Second
)

// defaultHTTP is the client of those who bring none. It keeps few connections open.
var defaultHTTP = &http.Client{Transport: newTransport()}

// newTransport returns a transport of few connections. It decodes nothing: a clip is compressed
// already.
func newTransport() *http.Transport {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: dialTime,
		DialContext:       (&net.Dialer{Timeout: dialTime}).DialContext,
		ForceAttemptHTTP2: true, MaxIdleConns: 16, IdleConnTimeout: time.Minute,
		ExpectContinueTimeout: time.Second, DisableCompression: true}
}

// patience ends a request whose other side is silent for too long: each sign of life starts its
// clock again. Only a limit on silence suits both a clip of gigabytes and a server that hangs.
type patience struct {
	// Ends the request when it fires.
	timer *time.Timer
	// Nanoseconds that the other side may be silent for; silentTime once its answer has begun. Atomic,
	// as net/http may still be sending the body then.
	limit atomic.Int64
	// Ends the request's context with what stopped it as its cause.
	stop context.CancelCauseFunc
}

// silence is why a request ended.
type silence time.Duration

// Error implements error.
func (s silence) Error() string { return fmt.Sprintf("it is silent for %v", time.Duration(s)) }

// wait starts the clock of a request, whose context it returns; the caller calls end.
func wait(ctx context.Context, limit time.Duration) (context.Context, *patience) {
	ctx, stop := context.WithCancelCause(ctx)
	p := &patience{stop: stop}
	p.limit.Store(int64(limit))
	p.timer = time.AfterFunc(limit, func() { stop(silence(p.limit.Load())) })
	return ctx, p
}

// sign starts the clock again; of a body that is still sent it may come after an answer.
func (p *patience) sign() { p.timer.Reset(time.Duration(p.limit.Load())) }

// answered says that the header came; the body follows.
func (p *patience) answered() {
	p.limit.Store(int64(silentTime))
	p.sign()
}

// cause is what ended a request: the other side's silence, if that did, else err.
func cause(ctx context.Context, err error) error {
	var s silence
	if errors.As(context.Cause(ctx), &s) {
		return s
	}
	return err
}

// end stops it.
func (p *patience) end() {
	p.timer.Stop()
	p.stop(context.Canceled)
}

// sending is a request's body: what the server takes of it is a sign of life.
type sending struct {
	io.Reader
	p *patience
}

// Read implements io.Reader.
func (s sending) Read(b []byte) (int, error) {
	s.p.sign()
	return s.Reader.Read(b)
}

// receiving is an answer's body: each piece is a sign of life. Closing it ends the request's clock.
type receiving struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // the request's
	p   *patience
}

// Read implements io.Reader.
func (r receiving) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // as readers say it
		return n, cause(r.ctx, err)
	}
	r.p.sign()
	return n, err
}

// Close implements io.Closer.
func (r receiving) Close() error {
	r.p.end()
	return r.ReadCloser.Close()
}

// withoutUser is a URL to show, without the name and password that may be in it.
func withoutUser(base string) string {
	before, rest, ok := strings.Cut(base, "://")
	if !ok {
		return base[strings.LastIndexByte(base, '@')+1:]
	}
	return before + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}

// UnreachableError is returned when no coordinator answers: nothing listens there, the network is
// gone, or the server is silent. The request may have been carried out all the same: only what is
// safe to repeat is repeated.
type UnreachableError struct {
	// URL is the coordinator's, without a user; of a leader that was redirected to, with a word on
	// that.
	URL string
	// Asked is the method and the path, such as "GET /v1/videos".
	Asked string
	// Err is the cause: of the network, or the silence of the other side.
	Err error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	cause := e.Err
	var u *url.Error
	if errors.As(cause, &u) {
		cause = u.Err
	}
	if errors.Is(cause, io.EOF) || errors.Is(cause, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("the coordinator at %s broke off its answer to %s; its log says why", e.URL,
			e.Asked)
	}
	return fmt.Sprintf("cannot reach the coordinator at %s: %v%s", e.URL, cause, trustHint(cause))
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// where returns the coordinator that an error is about: the one that was asked, or the leader to
// which that one sends its clients. Operators have to know which of two addresses is wrong.
func (c *Client) where(err error) string {
	asked, _ := url.Parse(c.base)
	var u *url.Error
	if !errors.As(err, &u) || asked == nil {
		return c.shown
	}
	last, perr := url.Parse(u.URL)
	if perr != nil || last.Host == asked.Host || last.Host == "" {
		return c.shown
	}
	return fmt.Sprintf("%s://%s, the leader as %s says", last.Scheme, last.Host, c.shown)
}
