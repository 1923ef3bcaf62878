package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// Limits of fetching what a clip starts from.
const (
	// For all of it, with redirects and the body; the request is waiting for it, and holds a place.
	fetchTime = 30 * time.Second
	// For a connection, for its TLS, and for the header of an answer, each.
	fetchHeadTime = 10 * time.Second
	// Bytes of a URL, enough for signed ones of object stores.
	fetchURLMax = 2048
	// Redirects: a link shortener and a CDN need two.
	fetchHops = 3
)

// FetchModes are the values of Clients.FetchURLs, and the schemes that each allows. Off is the
// default: a server that fetches what strangers name is a risk that an operator has to choose.
var FetchModes = map[string][]string{"off": nil, "https": {"https"}, "any": {"https", "http"}}

// errNotPublic says that an address is not one of the public internet. The client reads it without
// the address, which would tell it how names resolve inside.
var errNotPublic = errors.New("its host has an address that is not public")

// fetcher gets pictures from URLs that clients name. They are strangers' URLs in a server's
// network, so it dials only addresses of the public internet, which it looks at when a name is
// resolved already; it follows few redirects, each under the same rules, and uses no proxy, which
// would dial for it. It sends nothing of the client's, and takes only pictures.
type fetcher struct {
	// In lower case; none: it fetches nothing.
	schemes []string
	// Dials and follows redirects by the rules above; it keeps no connection between fetches.
	client *http.Client
}

// newFetcher returns one for a mode; allowed judges addresses, and tests have certificates of their
// own. Control runs after a name is resolved and before the connection is made, so a name cannot
// change its address in between.
func newFetcher(mode string, allowed func(netip.Addr) bool, certs *tls.Config) *fetcher {
	f := &fetcher{schemes: FetchModes[mode]}
	dialer := &net.Dialer{Timeout: fetchHeadTime, Control: func(_, address string,
		_ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil || !allowed(a.Addr()) {
			return errNotPublic
		}
		return nil
	}}

	f.client = &http.Client{
		Timeout: fetchTime,
		// No proxy, no kept connection, no compression: what comes is counted as it comes.
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true,
			DisableCompression: true, TLSHandshakeTimeout: fetchHeadTime, TLSClientConfig: certs,
			ResponseHeaderTimeout: fetchHeadTime, MaxResponseHeaderBytes: headerMax},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > fetchHops {
				return fmt.Errorf("it leads through more than %d redirects", fetchHops)
			}
			r.Header.Del("Referer")
			return f.check(r.URL)
		},
	}
	return f
}

// check wants a URL of an allowed scheme, with a host and without a password. It judges redirects,
// too.
func (f *fetcher) check(u *url.URL) error {
	switch {
	case !slices.Contains(f.schemes, strings.ToLower(u.Scheme)):
		return fmt.Errorf("it leads to a URL of another scheme than %s",
			strings.Join(f.schemes, " and "))
	case u.User != nil:
		return errors.New("it leads to a URL with a user or password")
	case u.Hostname() == "":
		return errors.New("it has no host")
	}
	return nil
}

// get fetches a picture into a temporary file, which the caller drops. Errors name the field, and
// nothing of what was read. A client that left is ctx's error; a temporary file that cannot be
// created stays a 500; all else is a *job.FieldError, a 400.
func (f *fetcher) get(ctx context.Context, field, address string) (*os.File, error) {
	if f == nil || len(f.schemes) == 0 {
		return nil, &job.FieldError{Field: field, Value: "a URL", Allowed: referenceAllowed +
			"; a coordinator with the setting http.fetch-urls: https also fetches https URLs"}
	}
	wrong := func(err error) error {
		var inner *url.Error
		if errors.As(err, &inner) { // without the URL, which may be long
			err = inner.Err
		}
		return &job.FieldError{Field: field,
			Value: fmt.Sprintf("a URL that cannot be fetched, %.200v", err),
			Allowed: "an " + strings.Join(f.schemes, " or ") + " URL on the public internet of " +
				media.PictureAllowed + ", or " + referenceAllowed}
	}

	u, err := url.Parse(address)
	if err == nil && len(address) > fetchURLMax {
		err = fmt.Errorf("it has more than %d bytes", fetchURLMax)
	}
	if err == nil {
		err = f.check(u)
	}
	if err != nil {
		return nil, wrong(err)
	}

	file, err := f.download(ctx, u)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var ours *schema.Error
	if err != nil && !errors.As(err, &ours) {
		err = wrong(err)
	}
	return file, err
}

// download asks for u and takes at most media.PictureBytes that begin like a picture. The
// Content-Type is not looked at: servers get it wrong.
func (f *fetcher) download(ctx context.Context, u *url.URL) (*os.File, error) {
	u.Fragment = ""
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "image/webp, image/png, image/jpeg")
	r.Header.Set("User-Agent", "longtake")

	resp, err := f.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("its server answers %d", resp.StatusCode)
	}
	if resp.ContentLength > media.PictureBytes {
		return nil, fmt.Errorf("it has %d bytes", resp.ContentLength)
	}

	file, err := receiveFile(http.MaxBytesReader(nil, resp.Body, media.PictureBytes))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, fmt.Errorf("it has more than %d bytes", large.Limit)
	}
	if err != nil {
		return nil, err
	}

	head := make([]byte, 32)
	n, _ := file.ReadAt(head, 0) // what is missing makes no picture
	if media.PictureKind(head[:n]) == "" {
		(&reference{file: file}).drop()
		return nil, errors.New("it is no picture")
	}
	return file, nil
}

// reserved are addresses that are global in form but not of the public internet (IANA's registries
// of special-purpose addresses), or that stand for others.
var reserved = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

// unicast6 is what IPv6 has given out.
var unicast6 = netip.MustParsePrefix("2000::/3")

// prefixes reads networks that are written here, so that a wrong one is found by any test.
func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// isPublic reports whether an address is of the public internet. Metadata services of clouds are on
// link-local addresses, which IsGlobalUnicast leaves out, or on private ones.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !unicast6.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}
