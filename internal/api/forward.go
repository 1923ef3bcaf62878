package api

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/pki"
)

// In a locked cluster a follower sends requests on to the leader: a redirect would lose the key,
// which clients send to no other host. The leader judges it, who knows of all keys.

// forwardedHeader has the client's address, host:port, in requests that a coordinator sends on.
// From anybody else it is dropped.
const forwardedHeader = "X-Longtake-Client"

// answeredHere are the routes that a follower answers, too: it knows the cluster and its models.
var answeredHere = map[string]bool{"GET /v1/cluster": true, "GET /v1/models": true,
	"GET /v1/models/{id...}": true, "/": true}

// judgedHere are the routes that go by the certificate of who asks: a leader would see this
// coordinator's. Processes know all coordinators, and go on to the next one by themselves.
var judgedHere = map[string]bool{"GET /v1/pki/bundle": true, "POST /v1/pki/renew": true}

// forwarder sends requests on to the leader.
type forwarder struct{ proxy *httputil.ReverseProxy }

// leaderKey marks the context of a request with the URL of the leader that it is sent on to,
// forwardedKey that of one that a coordinator has sent on.
type (
	leaderKey    struct{}
	forwardedKey struct{}
)

// newForwarder returns a forwarder that shows leaders the identity of this coordinator, and takes
// nobody but a coordinator for one; nil without an identity.
func newForwarder(own *pki.Identity) *forwarder {
	if own == nil {
		return nil
	}
	transport := &http.Transport{TLSClientConfig: own.Client(pki.RoleCoordinator),
		DialContext:         (&net.Dialer{Timeout: forwardDial}).DialContext,
		TLSHandshakeTimeout: forwardDial, DisableCompression: true,
		MaxIdleConnsPerHost: forwardIdle, IdleConnTimeout: idleTime}
	return &forwarder{&httputil.ReverseProxy{Rewrite: rewrite, Transport: transport,
		FlushInterval: -1, // events, and answers that come in pieces
		ErrorLog:      log.New(io.Discard, "", 0), ModifyResponse: dropTwice, ErrorHandler: leaderAway}}
}

const (
	forwardDial = 5 * time.Second // to reach the leader
	forwardIdle = 64              // connections to it that are kept
)

// rewrite makes the request to the leader of a client's. What browsers say of their pages was
// judged here, and is not the leader's to compare with its own name.
func rewrite(p *httputil.ProxyRequest) {
	p.SetURL(p.In.Context().Value(leaderKey{}).(*url.URL))
	for _, name := range []string{"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"} {
		p.Out.Header.Del(name)
	}
	p.Out.Header.Set(forwardedHeader, p.In.RemoteAddr)
}

// dropTwice drops the headers of the leader's answer that this server has set already.
func dropTwice(r *http.Response) error {
	for _, name := range []string{requestIDHeader, "X-Content-Type-Options", "Vary"} {
		r.Header.Del(name)
	}
	return nil
}

// leaderAway answers when the leader does not.
func leaderAway(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // it is the client that has left
		return
	}
	fail(w, r, overloaded("the leader does not answer: "+err.Error()+"; try again"))
}

// elsewhere is where a request is to be sent on to, nil if this coordinator answers it. What a
// coordinator has sent on goes no further: it is this one that was believed to lead, and the client
// asks again.
func (s *server) elsewhere(rt route, label string, r *http.Request) *url.URL {
	if s.forward == nil || rt.kind == probe || r.Context().Value(forwardedKey{}) != nil ||
		judgedHere[label] {
		return nil
	}
	// A key that was just made comes to this coordinator a moment later than to the leader.
	if answeredHere[label] {
		if _, err := s.identify(r); !isUnknown(err) {
			return nil
		}
	}
	return s.leader(r.Context())
}

// sendOn answers a request through the leader.
func (f *forwarder) sendOn(w http.ResponseWriter, r *http.Request, to *url.URL) {
	f.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), leaderKey{}, to)))
}

// leader is the URL of another coordinator that leads, nil if this one does or nobody.
func (s *server) leader(ctx context.Context) *url.URL {
	var elsewhere *coord.NotLeaderError
	if !errors.As(s.service.Leading(ctx), &elsewhere) || elsewhere.HTTP == "" {
		return nil
	}
	u, err := url.Parse(elsewhere.HTTP)
	if err != nil || u.Scheme != "https" {
		return nil
	}
	return u
}

// isUnknown reports whether an error says of a key that it is not known.
func isUnknown(err error) bool {
	var no *refusal
	return errors.As(err, &no) && no.reason == "unknown"
}

// receivedFrom returns a request as that of the client that has sent it, if another coordinator has
// sent it on. It is the certificate that says so: the header alone means nothing.
func (s *server) receivedFrom(r *http.Request) *http.Request {
	from := r.Header.Get(forwardedHeader)
	r.Header.Del(forwardedHeader)
	peer, ok := pki.PeerID(r.TLS)
	if from == "" || !ok || peer.Role != pki.RoleCoordinator || s.forward == nil {
		return r
	}
	r = r.WithContext(context.WithValue(r.Context(), forwardedKey{}, true))
	if _, err := netip.ParseAddrPort(from); err == nil {
		r.RemoteAddr = from
	}
	return r
}

// stay keeps clients of a locked cluster from being sent to the leader, where they would come
// without a key: the leadership has changed while they were answered, and they ask again here.
func (s *server) stay(err error) error {
	var elsewhere *coord.NotLeaderError
	if s.forward == nil || !errors.As(err, &elsewhere) || elsewhere.HTTP == "" {
		return err
	}
	return overloaded("another coordinator leads by now; try again")
}
