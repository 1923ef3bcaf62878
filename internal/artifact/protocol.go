package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
)

// The protocol of nodes that may not use JetStream. A request is a message whose header says what
// is asked, as JSON, and whose data is a chunk where one is sent; the answer likewise. A node that
// gets no answer asks again: every request may come twice.
//
// An upload is a put, its chunks in any order, a few at a time, and an end, which is asked again
// until the object is stored. A download is a get for each chunk.
//
//	put    Object, or Object, Key and Text   ->  Upload
//	chunk  Upload, Chunk; the bytes          ->
//	end    Upload                            ->  ok or pending
//	get    Object, Chunk                     ->  the bytes
//	get    Key, Text, Chunk                  ->  the bytes; of the first chunk Chunks and SHA256
//
// It is spoken in locked clusters alone, between processes of one version or of neighbouring ones:
// fields may be added, and none changes its meaning.

// Operations, as they are named in subjects.
const (
	OpPut   = "put"   // begins an upload: of an object, or of a value of the cache where Key is set
	OpChunk = "chunk" // of an upload
	OpEnd   = "end"   // of an upload: check and store it
	OpGet   = "get"   // a chunk of an object, or of a value of the cache where Key is set
)

// Header fields of requests and answers, and the most bytes of them.
const (
	headerRequest = "Longtake-Request"
	headerAnswer  = "Longtake-Answer"
	headerMax     = 2 << 10
)

// objectMax is the most bytes of an object that a node may store.
const objectMax = 1 << 42

// request is what a node asks. It does not say who asks: that is in the subject, where NATS lets
// each node use its own name alone.
type request struct {
	// Object is what a put brings and a get wants. Of a put of a value it describes the value.
	Object job.Object `json:"object,omitzero"`
	// Key names a value of the cache, and Text is the SHA-256 of the text that it belongs to.
	Key  string `json:"key,omitempty"`
	Text string `json:"text,omitempty"`
	// Upload is what the put was answered.
	Upload string `json:"upload,omitempty"`
	// Chunk is the number of a chunk, from 0.
	Chunk int `json:"chunk,omitempty"`
}

// status says in an answer what came of a request.
type status string

const (
	statusOK      status = "ok"      // of an end: it is stored
	statusPending status = "pending" // of an end: ask again
	statusBusy    status = "busy"    // of any request: ask again a little later
	statusUnknown status = "unknown" // there is no such upload here: begin again
	statusRefused status = "refused" // asking again does not help
	// What follows are the errors of a Store, for the node's callers.
	statusMissing status = "missing"
	statusDamaged status = "damaged"
	statusFull    status = "full"
)

// answer is what a node is told.
type answer struct {
	Status status `json:"status"`
	Reason string `json:"reason,omitempty"` // for people
	Upload string `json:"upload,omitempty"` // of a put
	// Chunks and SHA256 describe a value of the cache, in the answer to a get of its first chunk.
	Chunks int    `json:"chunks,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// ErrRefused: the coordinators refuse the node an object, and would again.
var ErrRefused = errors.New("the coordinators refuse it")

var (
	// errUnknownUpload: the coordinator that is asked has not got the upload's first chunks.
	errUnknownUpload = errors.New("the upload is not known any more")
	// errBusy: asking again a little later may help.
	errBusy = errors.New("the coordinators are busy")
)

// meanings are the errors that answers stand for.
var meanings = map[status]error{statusUnknown: errUnknownUpload, statusMissing: ErrNotFound,
	statusDamaged: ErrDamaged, statusFull: ErrFull, statusRefused: ErrRefused}

// err returns what an answer means to the node's callers; nil for statusOK and statusPending.
func (a answer) err() error {
	if a.Status == statusOK || a.Status == statusPending {
		return nil
	}
	kind := meanings[a.Status]
	if kind == nil {
		kind = errBusy
	}
	return fmt.Errorf("%w: %.300s", kind, a.Reason)
}

// answerOf returns the answer of a request that gave an error, or nil. An error that is none of the
// node's business is one of the object store's, and passes.
func answerOf(err error) answer {
	if err == nil {
		return answer{Status: statusOK}
	}
	a := answer{Status: statusBusy, Reason: fmt.Sprintf("%.300s", err)}
	for s, kind := range meanings {
		if errors.Is(err, kind) {
			a.Status, a.Reason = s, strings.TrimPrefix(a.Reason, kind.Error()+": ")
		}
	}
	return a
}

// pack returns a message with a header field that holds v, so that the data can be a chunk as it
// is, without a copy. The caller sets the subject.
func pack(field string, v any, data []byte) *nats.Msg {
	text, _ := json.Marshal(v) // of requests and answers, which always can be
	m := nats.NewMsg("")
	m.Header.Set(field, string(text))
	m.Data = data
	return m
}

// unpack reads a message's header field. What is not there, or not known, is left out of v; check
// looks at what a request needs.
func unpack[T any](field string, m *nats.Msg) (v T, err error) {
	text := m.Header.Get(field)
	if len(text) > headerMax {
		return v, fmt.Errorf("%s has %d bytes; allowed: up to %d", field, len(text), headerMax)
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, fmt.Errorf("%s cannot be read: %w", field, err)
	}
	return v, nil
}

// check reports whether the request is one of an operation, with a chunk of so many bytes.
func (r request) check(op string, data int) error {
	if r.Key != "" && (!isKey(r.Key) || !isSum(r.Text)) {
		return fmt.Errorf("key %.80q of text %.80q; allowed: letters and digits, a SHA-256",
			r.Key, r.Text)
	}

	switch op {
	case OpPut:
		if err := r.Object.Check(); err != nil {
			return err
		}
		if o := r.Object; o.Name != namePrefix+o.SHA256 || o.Size > objectMax {
			return fmt.Errorf("object %.80q of %d bytes; allowed: sha256- and its SHA-256, up to %d bytes",
				o.Name, o.Size, int64(objectMax))
		}
		if r.Key != "" && r.Object.Size > CacheValueMax {
			return fmt.Errorf("a value of %d bytes; allowed: up to %d", r.Object.Size, CacheValueMax)
		}
	case OpChunk, OpEnd:
		if !isKey(r.Upload) {
			return fmt.Errorf("upload %.40q; allowed: what the put was answered", r.Upload)
		}
	case OpGet:
		if err := r.Object.Check(); err != nil && r.Key == "" {
			return err
		}
	default:
		return fmt.Errorf("operation %.40q; allowed: put, chunk, end, get", op)
	}

	if r.Chunk < 0 || data > chunkBytes || data > 0 && op != OpChunk {
		return fmt.Errorf("chunk %d of %d bytes with %.10s; allowed: from 0, up to %d with chunk",
			r.Chunk, data, op, chunkBytes)
	}
	return nil
}

// isSum reports whether s is a SHA-256 in lower-case hex.
func isSum(s string) bool { return job.Object{Name: "x", SHA256: s}.Check() == nil }
