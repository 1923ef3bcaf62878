package pki

import (
	"errors"
	"fmt"
	"time"
)

// Reason says in a word why a peer's certificate is not believed. It is a label of metrics.
type Reason string

// Why certificates are refused.
const (
	NoCertificate Reason = "none"          // none was shown
	Expired       Reason = "expired"       // it has run out
	NotYetValid   Reason = "not_yet_valid" // it is of the future: one of the clocks is wrong
	UnknownCA     Reason = "unknown_ca"    // no CA of this cluster has signed it
	BadURI        Reason = "uri"           // it names no process of longtake
	OtherCluster  Reason = "cluster"       // it is of another cluster
	WrongRole     Reason = "role"          // a shard where a coordinator belongs, or the reverse
	WrongPeer     Reason = "peer"          // another process than the one that was meant
	Denied        Reason = "denied"        // its identity was revoked
)

// Refusal is the error of a handshake whose peer is not believed.
type Refusal struct {
	Reason Reason
	Peer   string // what the peer says of itself: not to be believed; may be empty
	Err    error
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Peer == "" {
		return "certificate refused: " + r.Err.Error()
	}
	return "certificate of " + r.Peer + " refused: " + r.Err.Error()
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// refuse makes a Refusal of a reason and a text.
func refuse(reason Reason, peer, format string, args ...any) error {
	return &Refusal{reason, peer, fmt.Errorf(format, args...)}
}

// tellEvery is the time between two lines of the log on refusals for one reason: whoever reaches a
// port can have connections refused as fast as he likes.
const tellEvery = 10 * time.Second

// tale is what the log was told of a reason.
type tale struct {
	last  time.Time // of the latest line
	since int       // refusals after it
}

// report counts and logs a handshake that failed because of the peer's certificate.
func (i *Identity) report(err error) {
	var r *Refusal
	if !errors.As(err, &r) {
		return
	}
	if f := i.refused.Load(); f != nil && *f != nil {
		(*f)(r)
	}

	i.mu.Lock()
	defer i.mu.Unlock()

	// Each reason has lines of its own, so that many of one do not hide the first of another.
	now, t := i.now(), i.told[r.Reason]
	if t == nil {
		t = &tale{}
		i.told[r.Reason] = t
	}
	if t.since++; now.Sub(t.last) < tellEvery && !now.Before(t.last) {
		return
	}
	i.log.Warn("connection refused", "reason", r.Reason, "error", fmt.Sprintf("%.300v", err),
		"times", t.since)
	t.last, t.since = now, 0
}
