package api

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// incoming is a request's body, which has to keep coming: a client that stops sending holds its
// connection for a while only. One goroutine reads it. It stands in for http.Server's ReadTimeout,
// which is one time for the whole body: too short for an upload of a GB or too long for everybody
// else.
type incoming struct {
	io.ReadCloser
	control *http.ResponseController
	start   time.Time // of the request, after its header
	// Bytes that have come so far.
	n int64
	// There is no more of it: from here on only the answer has a deadline.
	done bool
}

// watchBody starts the time of a request's body, which r then has. A request without one may take
// as long as it likes; net/http reads its connection in the meantime, to see whether the client
// leaves.
func watchBody(r *http.Request, control *http.ResponseController) *incoming {
	in := &incoming{ReadCloser: r.Body, control: control, start: time.Now(),
		done: r.Body == nil || r.Body == http.NoBody}
	if in.done {
		in.until(time.Time{})
		return in
	}
	in.extend()
	r.Body = in
	return in
}

// until sets the deadline for reading; writers of tests have none, which is no matter.
func (in *incoming) until(t time.Time) { _ = in.control.SetReadDeadline(t) }

// extend gives the body bodyTime, and a second for each bodyRate bytes that have come, up to
// uploadTime from its start.
func (in *incoming) extend() {
	more := bodyTime + time.Duration(in.n)*(time.Second/bodyRate)
	in.until(in.start.Add(min(more, uploadTime)))
}

// Read implements io.Reader. At the end the deadline goes: net/http now watches the connection with
// the same one, and would take a timeout for a client that left.
func (in *incoming) Read(p []byte) (int, error) {
	n, err := in.ReadCloser.Read(p)
	in.n += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		in.done = true
		in.until(time.Time{})
	case err == nil:
		in.extend()
	}
	return n, err
}

// linger gives what is left of the body a moment: net/http reads it before it answers. wrap calls
// it before an error is sent, and again at the end of every request.
func (in *incoming) linger() {
	if !in.done {
		in.until(time.Now().Add(lingerTime))
	}
}

// answer is an answer on its way. It remembers its status for the log, and gives the reader
// stallTime for each piece. A reader that takes nothing for so long is cut off: its handler's next
// write fails.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	// The last one written; 200 until then, as net/http has it.
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.status = status
	a.extend()
	a.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	a.extend()
	return a.ResponseWriter.Write(p)
}

// extend starts the time for the next piece.
func (a *answer) extend() { _ = a.control.SetWriteDeadline(time.Now().Add(stallTime)) }

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
