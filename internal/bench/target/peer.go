package target

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Limits of what is read and waited for. They are far above what servers send, and far below what
// would hurt the machine that measures, with as many clips under way as it may have.
const (
	// Of a JSON answer, without the video that it may have in it.
	answerMax = 1 << 20
	// Of a list of routes, which lists every field of every route.
	routesMax = 16 << 20
	// Of an answer that is an error, and of what of it is shown.
	refusalMax = 64 << 10
	shownMax   = 300
	// For an answer to a question that needs no clip.
	questionTime = 15 * time.Second
	// The longest that a server is taken to mean by Retry-After.
	retryAfterMax = time.Hour
)

// peer is a server that is none of ours: what the dialects share.
type peer struct {
	o    Options
	wire *wire
	// What the server said of itself when it was opened.
	seen sight
}

// Close implements Target.
func (p *peer) Close() error { return p.wire.Close() }

// send sends a request and returns the answer if its status is a good one; the caller closes its
// body. Any error is a *Failure, but those of a context that is over: see ended.
func (p *peer) send(ctx context.Context, method, at string, b body) (*http.Response, error) {
	if !strings.Contains(at, "://") {
		at = p.o.URL + at
	}
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(b.bytes))
	if err != nil {
		return nil, fail(Malformed, "cannot ask %s: %w", at, err)
	}

	if b.kind != "" {
		req.Header.Set("Content-Type", b.kind)
	}

	if own, _ := url.Parse(p.o.URL); p.o.Key != "" && own != nil && own.Host == req.URL.Host {
		req.Header.Set("Authorization", "Bearer "+p.o.Key)
	}

	// A connection that breaks is not tried again here: only the caller knows what that would do.
	resp, err := p.wire.http.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, refusal(resp, method+" "+req.URL.Path)
	}
	return resp, nil
}

// unreachable is the failure of a connection.
func unreachable(err error) *Failure {
	var u *url.Error
	if errors.As(err, &u) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		host, _ := url.Parse(u.URL)
		return fail(Unreachable, "cannot reach %s: %w", cmp.Or(hostOf(host), u.URL), u.Err)
	}
	return fail(Unreachable, "the server broke off: %w", err)
}

// hostOf is the host of a URL, "" of none.
func hostOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Host
}

// refusal is the failure that an answer's status tells. The body stays with it: a poll of a clip
// that has failed may be answered so.
func refusal(resp *http.Response, asked string) *Failure {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, refusalMax)) // what came is all there is to say
	return &Failure{Kind: kindOf(resp.StatusCode), Status: resp.StatusCode, body: b,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Message:    fmt.Sprintf("%s answers %d: %s", asked, resp.StatusCode, reason(b))}
}

// kindOf sorts a status of HTTP that is none of success. 529 is what some servers say for "too
// much".
func kindOf(status int) Kind {
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable ||
		status == 529:
		return Refused
	case status >= 300 && status < 500:
		return Rejected
	}
	return Failed
}

// A server that says when to come back knows more than a schedule of retries does. What is beyond
// an hour is taken for an hour: a load generator will not be there any more.

// retryAfter reads the header, which is in seconds or a date; 0: there is none that makes sense.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 {
		return time.Duration(min(seconds, retryAfterMax.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), retryAfterMax)
	}
	return 0
}

// What servers say of an error is what a user of the load generator sees, so it is dug out of
// whatever it is wrapped in. Nothing but the words depends on it: what an error counts as follows
// from the status alone.

// reason finds the words for people in an error: OpenAI has {"error": {"message"}}, FastAPI
// {"detail": "..."} or a list of what is wrong, others {"message"}. What is none of these is shown
// as it is.
func reason(b []byte) string {
	var e struct {
		Error   json.RawMessage `json:"error"`
		Detail  json.RawMessage `json:"detail"`
		Message string          `json:"message"`
	}

	text := string(b)
	if json.Unmarshal(b, &e) == nil {
		switch {
		case e.Message != "":
			text = e.Message
		case said(e.Error) != "":
			text = said(e.Error)
		case said(e.Detail) != "":
			text = said(e.Detail)
		}
	}
	return cmp.Or(oneLine(text), "nothing")
}

// said is the text of an error: a string, an object with a message, or a list of {"loc", "msg"}.
func said(raw json.RawMessage) string {
	var text string
	var object struct {
		Message string `json:"message"`
	}

	var list []struct {
		Loc []any  `json:"loc"`
		Msg string `json:"msg"`
	}

	// Each form fits one of the three alone.
	switch {
	case json.Unmarshal(raw, &text) == nil:
		return text
	case json.Unmarshal(raw, &object) == nil:
		return object.Message
	case json.Unmarshal(raw, &list) == nil && len(list) > 0:
		return fmt.Sprintf("%v: %s", list[0].Loc, list[0].Msg)
	}
	return ""
}

// oneLine makes a text from elsewhere fit to be shown in a line.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if r := []rune(text); len(r) > shownMax {
		return string(r[:shownMax]) + "..."
	}
	return text
}

// A question is about the server, and not about a clip: it is asked before anything is measured, so
// that it may take its time, and its failure need not be the end.

// question asks for a small JSON answer within questionTime.
func (p *peer) question(ctx context.Context, at string, most int64, into any) error {
	limited, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	resp, err := p.send(limited, http.MethodGet, at, body{})
	if err != nil {
		return p.settled(ctx, limited, questionTime, err)
	}

	defer resp.Body.Close()

	// A server may be slow in the middle of its answer, too.
	b, err := readAll(resp.Body, most)
	if err != nil {
		return p.settled(ctx, limited, questionTime, err)
	}

	if err := json.Unmarshal(b, into); err != nil {
		return fail(Malformed, "GET %s answers with no JSON of its kind: %w", at, err)
	}
	return nil
}

// readAll reads a JSON answer of so many bytes at most.
func readAll(r io.Reader, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, unreachable(err)
	case int64(len(b)) > most:
		return nil, fail(Malformed, "an answer of more than %d bytes", most)
	}
	return b, nil
}

// settled is err, or what ended the context in which it came.
func (p *peer) settled(caller, limited context.Context, limit time.Duration, err error) error {
	if limited.Err() != nil {
		return ended(caller, limit, err)
	}
	return err
}
