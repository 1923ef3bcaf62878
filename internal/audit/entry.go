package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Outcomes of what was asked for.
const (
	// OK is of what was done: the entry is made as it is applied, so there is none of what failed.
	OK = "ok"
	// Refused is of what was not, for the reason that is given. Where the same was refused more than
	// once, the details have the count.
	Refused = "refused"
	// Started is of what cannot be written down once it is done: the leader that hands over has no
	// say any more.
	Started = "started"
)

// LineMax bounds a line, in bytes: the longest prompts, each of whose bytes JSON may write as six.
const LineMax = 16 << 20

// Actor is who asked for something. All of it is empty for what a coordinator does by itself.
type Actor struct {
	Owner   string `json:"owner,omitempty"`   // id of the key or the subject
	Name    string `json:"name,omitempty"`    // of the key, or of the node
	Addr    string `json:"addr,omitempty"`    // where the request came from
	Request string `json:"request,omitempty"` // X-Request-Id of the answer
}

// Entry is one line of the log. Later versions may add members: the hash covers those that this one
// does not know, too.
type Entry struct {
	Seq   uint64    `json:"seq"`   // from 1, without gaps
	Index uint64    `json:"index"` // of the entry of Raft's log that led to it
	Time  time.Time `json:"time"`  // of the leader, when it wrote that entry; UTC
	Actor Actor     `json:"actor"`
	// What was done. Names of actions are two words with a dot: the thing, then what happened to it.
	//
	// Action is such as video.create, Object what it was done to, such as the id of a video.
	Action  string `json:"action"`
	Object  string `json:"object,omitempty"`
	Outcome string `json:"outcome"`          // OK, Refused or Started
	Reason  string `json:"reason,omitempty"` // why it was refused
	// Details are by the action. All are texts: readers of JSON differ in how large numbers may be.
	Details map[string]string `json:"details,omitempty"`
	Prev    string            `json:"prev"` // hash of the entry before; of the first, of zeros
	Hash    string            `json:"hash"` // SHA-256 of the line without this member, in hex
}

// Head is where a chain ends: the number and the hash of its last entry. The zero Head is that of a
// chain without entries.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// Check reports whether h is one that a chain can have.
func (h Head) Check() error {
	raw, err := hex.DecodeString(h.Hash)
	switch {
	case h == Head{}:
		return nil
	case h.Seq == 0 || err != nil || len(raw) != sha256.Size || h.Hash != strings.ToLower(h.Hash):
		return fmt.Errorf("head is %d, %.80q; allowed: a number from 1 and a SHA-256", h.Seq, h.Hash)
	}
	return nil
}

// String names the head for people.
func (h Head) String() string {
	if h.Seq == 0 {
		return "an empty log"
	}
	return fmt.Sprintf("entry %d with hash %s", h.Seq, h.Hash)
}

// prev is the hash that the next entry names.
func (h Head) prev() string {
	if h.Seq == 0 {
		return strings.Repeat("0", 2*sha256.Size)
	}
	return h.Hash
}

// Next makes e the entry behind h: it fills in Seq, Prev and Hash, and returns the new end of the
// chain. The same e behind the same h gives the same entry, on any machine.
func (h Head) Next(e Entry) (Entry, Head) {
	e.Seq, e.Prev, e.Hash = h.Seq+1, h.prev(), ""
	if e.Time = e.Time.UTC(); e.Time.Year() < 0 || e.Time.Year() > 9999 {
		e.Time = time.Time{} // its own zone could be written, UTC cannot
	}
	e.Hash = hash(e.fields())
	return e, Head{e.Seq, e.Hash}
}

// Line returns the entry's canonical line, without a line break.
func (e Entry) Line() []byte {
	b, err := write(nil, e.fields())
	if err != nil {
		panic(err) // all of its values are ours
	}
	return b
}

// fields returns the entry as parse would. It goes through JSON, so that what is hashed here is
// what a reader of the line will hash: texts that are no UTF-8, and the form of times, are settled
// once.
func (e Entry) fields() map[string]any {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // a time beyond year 9999 alone; commands with one cannot be written, either
	}
	v, err := parse(b)
	if err != nil {
		panic(err)
	}
	return v.(map[string]any)
}

// hash returns the hash of an entry: of all its members but hash.
func hash(fields map[string]any) string {
	own, had := fields["hash"]
	delete(fields, "hash")
	b, err := write(nil, fields)
	if had {
		fields["hash"] = own
	}
	if err != nil {
		panic(err) // it has been written before
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ParseLine reads a line and holds it to its own hash; whether it follows another one is for a
// Verifier to say. Members that this version does not know are covered by the hash like all others.
func ParseLine(line []byte) (e Entry, err error) {
	v, err := parse(line)
	if err != nil {
		return e, err
	}

	// Anything else than an object has no hash of its own.
	fields, ok := v.(map[string]any)
	if !ok {
		return e, errors.New("is no JSON object")
	}
	spelt, err := write(nil, fields)
	if err != nil {
		return e, err
	}

	// Of two members of one name, or of two spellings, a reader would see one.
	if !bytes.Equal(spelt, line) {
		return e, errors.New("is not in canonical form: it was written by something else, or changed")
	}
	if have, said := hash(fields), fields["hash"]; said != have {
		return e, fmt.Errorf("has the hash %s and says %.80q: it was changed", have, fmt.Sprint(said))
	}

	// It is honest; whether it is an entry is another question.
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("is no entry: %w", err)
	}
	if e.Seq == 0 || e.Hash == "" {
		return e, errors.New("is no entry: it has no number")
	}
	return e, nil
}
