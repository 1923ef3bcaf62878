package direct

import (
	"bytes"
	"net"
	"testing"
)

func TestHandshake(t *testing.T) {
	x, y := Offer{id: id{1}, addr: "h:1"}, Offer{id: id{2}, addr: "h:2"}
	key := pairKey(x, y)
	if !bytes.Equal(key, pairKey(y, x)) {
		t.Error("the sides have different keys")
	}
	f := func(dials, accepts []byte, ok bool) {
		t.Helper()
		a, b := net.Pipe()
		done := make(chan error, 1)
		go func() {
			err := greet(a, dials, hello{index: 3, from: x.id, to: y.id})
			a.Close()
			done <- err
		}()
		h, err := welcome(b, func(h hello) ([]byte, bool) { return accepts, h.from == x.id })
		b.Close()
		if (err == nil) != ok || ok && (h.index != 3 || h.to != y.id) {
			t.Errorf("accepted %+v, %v", h, err)
		}
		if err := <-done; (err == nil) != ok {
			t.Errorf("dialled: %v", err)
		}
	}
	f(key, key, true)
	f(key, key[:31], false)
	f(key[:31], key, false)
}

// TestProof has a dialer that guesses: it is refused although it never looks at the answer.
func TestProof(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		defer a.Close()
		_, _ = a.Write(hello{}.encode())
		_, _ = a.Read(make([]byte, answerBytes))
		_, _ = a.Write(make([]byte, macBytes))
	}()
	_, err := welcome(b, func(hello) ([]byte, bool) { return []byte("key"), true })
	if err == nil {
		t.Error("a guess was taken for a proof")
	}
	b.Close()
}

// TestPayloadSum wants one sum for a payload, in whatever pieces a reader has got it.
func TestPayloadSum(t *testing.T) {
	b := make([]byte, 3*sumBytes+5)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	want := payloadSum(b)
	for at := sumBytes; at < len(b); at += sumBytes {
		if got := payloadSumFrom(payloadSum(b[:at]), b[at:]); got != want {
			t.Errorf("%x in pieces of %d bytes and the rest, %x whole", got, at, want)
		}
	}
	for _, i := range []int{0, sumBytes - 1, sumBytes, len(b) - 1} {
		b[i] ^= 1
		if payloadSum(b) == want {
			t.Errorf("a wrong byte %d leaves the sum as it was", i)
		}
		b[i] ^= 1
	}
}

// TestPadding has payloads begin, and what follows them end, at a multiple of align.
func TestPadding(t *testing.T) {
	for n := range 3 * align {
		if got := len(appendFill(make([]byte, n), n)); got%align != 0 || got > n+prefixBytes+align {
			t.Errorf("%d bytes are filled to %d", n, got)
		}
		pad := padding(n)
		head := appendHead(nil, frameMagic, make([]byte, HeaderMax), n, 1, pad)
		p, err := parsePrefix(head)
		if err != nil || p.pad != pad || len(head) != prefixBytes+HeaderMax+pad {
			t.Errorf("padding of %d: %+v, %v", n, p, err)
		}
	}
	head := appendHead(nil, frameMagic, nil, 0, 0, align)
	if _, err := parsePrefix(head); err == nil {
		t.Error("a frame with more padding than there can be was taken")
	}
}

// FuzzParse reads what anybody can send: the first bytes of a connection, frames, and offers.
func FuzzParse(f *testing.F) {
	f.Add(hello{index: 1, from: id{1}}.encode())
	f.Add(Offer{addr: "h:1"}.Encode())
	f.Add(appendHead(nil, frameMagic, []byte("header"), 9, 7, 3))
	f.Add(appendHead(nil, sealedMagic, []byte("header"), 9, 0, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHello(b); err == nil && !bytes.Equal(h.encode(), b) {
			t.Errorf("%x is not what %+v encodes to", b, h)
		}
		if o, err := ParseOffer(b); err == nil && !bytes.Equal(o.Encode(), b) {
			t.Errorf("%x is not what %+v encodes to", b, o)
		}
		if len(b) < prefixBytes {
			return
		}
		p, err := parsePrefix(b)
		if err != nil || len(b) < prefixBytes+p.header || p.verify(b[:prefixBytes+p.header]) != nil {
			return
		}
		raw := b[:prefixBytes+p.header]
		again := appendHead(nil, p.magic, raw[prefixBytes:], p.payload, p.sum, p.pad)
		if !bytes.HasPrefix(again, raw) {
			t.Errorf("%x is not what %+v encodes to", raw, p)
		}
	})
}
