package client

import (
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
)

// credential is the key that a client sends, if it has one.
type credential struct {
	text string
	// A key that is only tried: once a coordinator does not know it, requests go without it.
	tried   bool
	dropped *atomic.Bool
}

// The key is sent with every request, also with those that need none: which ones do, the server
// knows.

// put adds the key to a request. A redirect takes it along to the same host only: net/http sees to
// that.
func (k credential) put(h http.Header) {
	if k.text != "" && !(k.tried && k.dropped.Load()) {
		h.Set("Authorization", "Bearer "+k.text)
	}
}

// drop reports whether a request that was refused is worth sending again, without the key.
func (k credential) drop() bool { return k.tried && k.dropped.CompareAndSwap(false, true) }

// WithKey returns the client with a key, which all its requests have; "" takes it away.
func (c *Client) WithKey(text string) *Client {
	out := *c
	out.key = credential{text: text}
	return &out
}

// TryKey is WithKey for a key that the coordinator need not know: if it does not, requests go on
// without one. That is what the local key is, as the coordinator may be another user's.
func (c *Client) TryKey(text string) *Client {
	out := *c
	out.key = credential{text: text, tried: text != "", dropped: new(atomic.Bool)}
	return &out
}

// OnLoopback reports whether a URL is one of plain HTTP on this machine, as those of coordinators
// without certificates are.
func OnLoopback(base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}
