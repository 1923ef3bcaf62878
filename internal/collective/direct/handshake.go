package direct

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"unicode/utf8"
)

// id names a process among those that offer direct connections. It is drawn when a Node is made.
type id [16]byte

// Offer is what another process has to know of a Node to connect with it. It holds a secret: only
// those who may take part in the data plane see it.
type Offer struct {
	id   id
	key  [keyBytes]byte
	addr string // host:port
}

const (
	keyBytes     = 32
	nonceBytes   = 16
	macBytes     = sha256.Size
	addressMax   = 255 // bytes
	offerVersion = 1

	helloMagic   = 0x4344544c // "LTDC" in little endian order
	helloVersion = 2
	helloBytes   = 8 + 2*len(id{}) + nonceBytes
	answerBytes  = nonceBytes + macBytes
)

// Encode writes the offer: version u8, id, key, and the address as text.
func (o Offer) Encode() []byte {
	b := append([]byte{offerVersion}, o.id[:]...)
	return append(append(b, o.key[:]...), o.addr...)
}

// ParseOffer reads one. One of a later version is an error: the pair then stays on NATS.
func ParseOffer(b []byte) (o Offer, err error) {
	const least = 1 + len(id{}) + keyBytes
	if len(b) < least || len(b) > least+addressMax || b[0] != offerVersion {
		return o, fmt.Errorf("an offer of %d bytes is not valid", len(b))
	}
	copy(o.id[:], b[1:])
	copy(o.key[:], b[1+len(o.id):])
	o.addr = string(b[least:])
	if _, _, err := net.SplitHostPort(o.addr); err != nil || !utf8.ValidString(o.addr) {
		return Offer{}, errors.New("an offer without an address")
	}
	return o, nil
}

// pairKey is the key of the handshakes between two processes, the same on both sides.
func pairKey(a, b Offer) []byte {
	if bytes.Compare(a.id[:], b.id[:]) > 0 {
		a, b = b, a
	}
	h := sha256.New()
	for _, part := range [][]byte{[]byte("longtake direct 1"), a.id[:], a.key[:], b.id[:], b.key[:]} {
		h.Write(part)
	}
	return h.Sum(nil)
}

// hello begins a connection.
type hello struct {
	index    int // of the connection in its link
	from, to id
	nonce    [nonceBytes]byte
}

func (h hello) encode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, helloMagic)
	b = append(b, helloVersion, byte(h.index), 0, 0)
	b = append(append(b, h.from[:]...), h.to[:]...)
	return append(b, h.nonce[:]...)
}

// parseHello reads the first bytes of a connection, which anybody may have sent.
func parseHello(b []byte) (h hello, err error) {
	if len(b) != helloBytes || binary.LittleEndian.Uint32(b) != helloMagic || b[4] != helloVersion ||
		b[5] >= ConnectionsMax || b[6] != 0 || b[7] != 0 {
		return h, errors.New("not a hello")
	}
	h.index = int(b[5])
	b = b[8:]
	copy(h.from[:], b)
	copy(h.to[:], b[len(h.from):])
	copy(h.nonce[:], b[len(h.from)+len(h.to):])
	return h, nil
}

// mac proves to the other side that the sender knows the pair's key. The nonce is the acceptor's,
// and that of the dialer is in its hello, so neither side can answer with what was once said.
func mac(key []byte, what string, hello, nonce []byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, part := range [][]byte{[]byte(what), hello, nonce} {
		m.Write(part)
	}
	return m.Sum(nil)
}

var errStranger = errors.New("the other side does not know the key")

// greet is the dialer's side of the handshake.
func greet(rw io.ReadWriter, key []byte, h hello) error {
	_, _ = rand.Read(h.nonce[:])
	first := h.encode()
	if _, err := rw.Write(first); err != nil {
		return err
	}

	var answer [answerBytes]byte
	if _, err := io.ReadFull(rw, answer[:]); err != nil {
		return err
	}
	nonce := answer[:nonceBytes]
	if !hmac.Equal(answer[nonceBytes:], mac(key, "answer", first, nonce)) {
		return errStranger
	}

	_, err := rw.Write(mac(key, "proof", first, nonce))
	return err
}

// welcome is the acceptor's side. find returns the key for a hello, or false for one that nobody
// waits for.
func welcome(rw io.ReadWriter, find func(hello) (key []byte, ok bool)) (hello, error) {
	var first [helloBytes]byte
	// The magic comes first, so that other protocols are turned away before they have said more.
	if _, err := io.ReadFull(rw, first[:4]); err != nil {
		return hello{}, err
	}
	if binary.LittleEndian.Uint32(first[:]) != helloMagic {
		return hello{}, errors.New("not a hello")
	}
	if _, err := io.ReadFull(rw, first[4:]); err != nil {
		return hello{}, err
	}

	h, err := parseHello(first[:])
	if err != nil {
		return h, err
	}

	key, ok := find(h)
	if !ok {
		return h, errStranger
	}

	var nonce [nonceBytes]byte
	_, _ = rand.Read(nonce[:])
	answer := append(nonce[:], mac(key, "answer", first[:], nonce[:])...)
	if _, err := rw.Write(answer); err != nil {
		return h, err
	}

	var proof [macBytes]byte
	if _, err := io.ReadFull(rw, proof[:]); err != nil {
		return h, err
	}
	if !hmac.Equal(proof[:], mac(key, "proof", first[:], nonce[:])) {
		return h, errStranger
	}
	return h, nil
}
