package nats

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/collective"
)

// See "Sealed attempts" in the package comment for why no nonce is used twice under one key.

// What is in a nonce and in a key decides what a frame can be mistaken for: for nothing that has
// another of these. What is only in the header is authenticated with it, and means what it says.

const (
	// What sealing adds to a payload, in bytes: GCM's tag.
	tagBytes = 16
	// Of a sealed header that goes ahead of its payload, in bytes.
	sealedHeaderBytes = headerBytes + tagBytes
	// Begins what keys are derived from; another version of it would make other keys.
	sealContext = "longtake frame 1"
)

// part is what of a frame is sealed by itself. It is a part of the nonce, so that none can stand in
// for another.
type part uint32

const (
	partWhole   part = iota // payload, with the header as additional data: one NATS message
	partHeader              // header alone, which is read before the payload that follows
	partPayload             // the payload that follows such a header
)

var (
	errForged   = errors.New("a frame that the attempt's key does not open")
	errReplayed = errors.New("a frame that came before, or is far too late")
)

// keyring makes the keys of the frames that one rank sends and receives in an attempt.
type keyring struct {
	// HKDF's pseudorandom key, of the attempt's key, its number, and the job's name.
	prk     []byte
	rank    uint32
	session uint64
	// How many frames were sealed for each rank, which numbers them.
	sent []atomic.Uint64
}

// newKeyring returns nil for an attempt without a key. The job's name and the attempt's number go
// into the salt, so that a key which is used for two attempts by mistake still makes different
// keys.
func newKeyring(key collective.Key, job string, attempt, rank uint32, session uint64, ranks int,
) *keyring {
	if key.IsZero() {
		return nil
	}
	salt := binary.LittleEndian.AppendUint32([]byte(sealContext), attempt)
	prk, err := hkdf.Extract(sha256.New, key[:], append(salt, job...))
	if err != nil {
		panic(fmt.Sprintf("nats: no keys of a key: %v", err)) // only FIPS mode refuses, short keys
	}
	return &keyring{prk: prk, rank: rank, session: session, sent: make([]atomic.Uint64, ranks)}
}

// cipher returns the cipher of what one session of a rank sends to another rank: AES-256-GCM.
func (k *keyring) cipher(src, dst uint32, session uint64) cipher.AEAD {
	info := binary.LittleEndian.AppendUint32(nil, src)
	info = binary.LittleEndian.AppendUint32(info, dst)
	info = binary.LittleEndian.AppendUint64(info, session)

	key, err := hkdf.Expand(sha256.New, k.prk, string(info), 32)
	var block cipher.Block
	var aead cipher.AEAD
	if err == nil {
		block, err = aes.NewCipher(key)
	}
	if err == nil {
		aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic(fmt.Sprintf("nats: no cipher for a key of 32 bytes: %v", err))
	}
	return aead
}

// channel seals what a rank sends to one peer, and opens what that peer sends to it. Safe for
// concurrent use.
type channel struct {
	keys *keyring
	peer uint32
	out  cipher.AEAD

	mu      sync.Mutex
	in      cipher.AEAD  // of the first session of the peer that was heard; nil: none was
	session uint64       // that one
	seen    replayWindow // of it
}

// channel returns what seals and opens for one peer; nil for an attempt without a key.
func (k *keyring) channel(peer uint32) *channel {
	if k == nil {
		return nil
	}
	return &channel{keys: k, peer: peer, out: k.cipher(k.rank, peer, k.session)}
}

// nonce returns a frame's nonce for one of its parts.
func nonce(p part, counter uint64) (n [12]byte) {
	binary.LittleEndian.PutUint32(n[:], uint32(p))
	binary.LittleEndian.PutUint64(n[4:], counter)
	return n
}

// number gives a frame a number that no other one to this peer has.
func (c *channel) number(h *header) { h.counter = c.keys.sent[c.peer].Add(1) }

// appendFrame appends a sealed frame. The payload is encrypted from where it is to where it goes.
func (c *channel) appendFrame(dst []byte, h header, payload []byte) []byte {
	c.number(&h)
	n, start := nonce(partWhole, h.counter), len(dst)
	dst = appendHeader(dst, h, len(payload))
	return c.out.Seal(dst, n[:], payload, dst[start:])
}

// appendHeader appends a sealed header, and returns it as it was numbered, for sealPayload.
func (c *channel) appendHeader(dst []byte, h header) ([]byte, header) {
	c.number(&h)
	n, start := nonce(partHeader, h.counter), len(dst)
	dst = appendHeader(dst, h, 0)
	return c.out.Seal(dst, n[:], nil, dst[start:]), h
}

// sealPayload appends the payload that follows a header of this number.
func (c *channel) sealPayload(dst []byte, h header, payload []byte) []byte {
	n := nonce(partPayload, h.counter)
	return c.out.Seal(dst, n[:], payload, nil)
}

// openFrame opens a frame's payload where it is, and with it the header. A frame is opened once.
func (c *channel) openFrame(h header, sealed []byte) ([]byte, error) {
	return c.openOnce(partWhole, h, sealed)
}

// openHeader checks a header that goes ahead, of which tag is the end.
func (c *channel) openHeader(h header, tag []byte) error {
	_, err := c.openOnce(partHeader, h, tag)
	return err
}

// openOnce opens a part that has the header as additional data, unless it came before. What is
// opened is checked first and noted then: a number that a forged frame names stays free for the
// right one.
func (c *channel) openOnce(p part, h header, sealed []byte) ([]byte, error) {
	aead, err := c.opener(h)
	if err != nil {
		return nil, err
	}

	var buf [headerBytes]byte
	n := nonce(p, h.counter)
	out, err := aead.Open(sealed[:0], n[:], sealed, appendHeader(buf[:0], h, 0))
	if err != nil {
		return nil, errForged
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in == nil {
		c.in, c.session = aead, h.session
	}
	// Frames of another session have no window. They end the attempt, whatever they say.
	if h.session == c.session && !c.seen.add(h.counter) {
		return nil, errReplayed
	}
	return out, nil
}

// opener returns the cipher for what the session of a header sends. It is made anew for a session
// that was never believed, some microseconds' work, so that nobody fills the memory with sessions.
func (c *channel) opener(h header) (cipher.AEAD, error) {
	if h.counter == 0 || h.session == 0 {
		return nil, errForged
	}
	c.mu.Lock()
	in, before := c.in, c.seen.has(h.counter)
	if h.session != c.session {
		in, before = nil, false
	}
	c.mu.Unlock()

	switch {
	case before:
		return nil, errReplayed
	case in == nil:
		return c.keys.cipher(c.peer, c.keys.rank, h.session), nil
	}
	return in, nil
}

// openPayload appends to dst what follows a header that was opened.
func (c *channel) openPayload(dst []byte, h header, sealed []byte) ([]byte, error) {
	c.mu.Lock()
	aead := c.in
	if h.session != c.session {
		aead = nil
	}
	c.mu.Unlock()
	if aead == nil {
		return nil, errForged
	}

	n := nonce(partPayload, h.counter)
	out, err := aead.Open(dst, n[:], sealed, nil)
	if err != nil {
		return nil, errForged
	}
	return out, nil
}

// replayBits is how far frames may come out of order. Several goroutines number frames and then
// send them, by several connections, so the order is lost by as much as is in flight: 128 chunks by
// default, and small messages beside them. A frame below the window counts as one that was there,
// and comes again under a new number.
const replayBits = 8192

// replayWindow remembers which of the latest numbers were there, in a ring of bits that words are
// cleared of as the window moves on (RFC 6479).
type replayWindow struct {
	top  uint64 // the highest so far
	bits [replayBits / 64]uint64
}

// has reports whether a number was there, or is below the window. The word that the top is in is
// not whole yet, so that the window is one word shorter than the ring.
func (w *replayWindow) has(n uint64) bool {
	switch {
	case n > w.top:
		return false
	case w.top-n >= replayBits-64:
		return true
	}
	return w.bits[n/64%uint64(len(w.bits))]>>(n%64)&1 != 0
}

// add notes a number, and reports whether it is a new one.
func (w *replayWindow) add(n uint64) bool {
	if w.has(n) {
		return false
	}
	if n > w.top {
		words := min(n/64-w.top/64, uint64(len(w.bits)))
		for i := range words {
			w.bits[(n/64-i)%uint64(len(w.bits))] = 0
		}
		w.top = n
	}
	w.bits[n/64%uint64(len(w.bits))] |= 1 << (n % 64)
	return true
}
