package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/config"
)

// guard is what every request passes before it is looked at: it gets an id, its Host has to be one
// of ours (a name that an attacker points at this address is not), and what comes from a page of
// another origin is refused unless that origin is trusted.
type guard struct {
	// The routes; they see only requests that passed.
	next http.Handler
	// Names in lower case; "*" is any, "*.name" the subdomains of name.
	hosts []string
	// As Config.Origins has them; "*" is any.
	origins []string
	// Counts a request that is refused, for the audit log.
	refused func(ctx context.Context, action, reason string)
	// Judges by Sec-Fetch-Site and Origin, which browsers send and scripts cannot forge.
	cross *http.CrossOriginProtection
}

// newGuard returns the guard of a handler; hosts come from Hosts, origins have passed CheckAccess.
func newGuard(next http.Handler, hosts, origins []string) *guard {
	g := &guard{next: next, origins: origins, cross: http.NewCrossOriginProtection(),
		refused: func(context.Context, string, string) {}}
	for _, h := range hosts {
		g.hosts = append(g.hosts, hostName(h))
	}

	// An origin is a scheme and a host, without a path: what a browser sends.
	for _, o := range origins {
		_ = g.cross.AddTrustedOrigin(o) // "*" is looked for by itself; CheckAccess has judged the others
	}
	return g
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(requestIDHeader)
	if !requestIDPattern.MatchString(id) {
		id = "req_" + strings.ToLower(rand.Text())
		r.Header.Set(requestIDHeader, id)
	}
	// Answers are of the type that they say: a browser must not guess that a clip is a page.
	w.Header().Set(requestIDHeader, id)
	w.Header().Set("X-Content-Type-Options", "nosniff")

	// A probe of Kubernetes has the pod's address or any name as its Host, and learns nothing of jobs.
	if !g.knows(r.Host) && !probePaths[r.URL.Path] {
		g.dismiss(w, r, &schema.Error{Status: http.StatusForbidden, Type: "invalid_request_error",
			Code: "host_not_allowed", Message: fmt.Sprintf("Host is %.128q; allowed: localhost, IP "+
				"addresses, those that the coordinator was started with, and the setting http.hosts",
				r.Host)})
		return
	}

	// Before the check, so that the preflight of a trusted page is answered.
	if g.allowOrigin(w, r) {
		return
	}
	if err := g.cross.Check(r); err != nil && !slices.Contains(g.origins, "*") {
		g.dismiss(w, r, &schema.Error{Status: http.StatusForbidden, Type: "invalid_request_error",
			Code: "cross_origin", Message: fmt.Sprintf("%s from a page of %.128q; allowed: this "+
				"server's own origin, and the setting http.cors-origins", r.Method,
				r.Header.Get("Origin"))})
		return
	}
	g.next.ServeHTTP(w, r)
}

// requestIDHeader names a request in answers and in the log. A client's own is kept if it is plain.
// OpenAI's SDKs show it as the request id of their errors.
const requestIDHeader = "X-Request-Id"

// requestIDPattern is what of a client's id is kept: nothing that could break a log line or a
// header.
var requestIDPattern = regexp.MustCompile(`^[a-zA-Z0-9._:-]{1,128}$`)

// dismiss answers with an error and closes the connection, without reading what else the client
// wants to send.
func (g *guard) dismiss(w http.ResponseWriter, r *http.Request, err *schema.Error) {
	ctx := access.WithOrigin(r.Context(), access.Origin{Addr: r.RemoteAddr})
	g.refused(ctx, "http.request", err.Code)
	w.Header().Set("Connection", "close")
	fail(w, r, err)
}

// knows reports whether a request may be meant for this server. DNS rebinding points a name at it,
// so names have to be known; an IP address cannot be rebound, and clients from before HTTP/1.1,
// which are no browsers, send no Host.
func (g *guard) knows(host string) bool {
	name := hostName(host)
	if _, err := netip.ParseAddr(name); err == nil || name == "" {
		return true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	return slices.ContainsFunc(g.hosts, func(h string) bool {
		return h == "*" || h == name || strings.HasPrefix(h, "*.") && strings.HasSuffix(name, h[1:])
	})
}

// hostName returns the host of host:port in the form in which names are compared: in lower case,
// without brackets and a final dot.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Hosts returns the names under which clients may reach an API: those of the setting http.hosts,
// this machine's, and the host of each listening address and URL (those that are none are left
// out). Both programs that serve the API call it once, when they start.
func Hosts(setting []string, addresses ...string) []string {
	out := slices.Clone(setting)
	if name, err := os.Hostname(); err == nil {
		out = append(out, name)
	}
	for _, a := range addresses {
		if u, err := url.Parse(a); err == nil && u.Host != "" {
			a = u.Host
		}
		if name := hostName(a); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// CheckAccess returns what is wrong with the settings http.hosts and http.cors-origins, as a
// *config.Error, or nil. It is called before anything listens, so that a mistake is an error of the
// settings.
func CheckAccess(hosts, origins []string) error {
	for _, h := range hosts {
		name := strings.TrimPrefix(hostName(h), "*.")
		_, err := netip.ParseAddr(name)
		known := err == nil || hostPattern.MatchString(name)
		if h != "*" && (!known || strings.Contains(h, "/")) {
			return config.Errorf("http.hosts has %.128q; allowed: host names such as clips.example, "+
				"*.clips.example for its subdomains, * for any", h)
		}
	}

	// A browser compares an Origin byte by byte: a path or a slash at the end would never match.
	for _, o := range origins {
		u, err := url.Parse(o)
		if o != "*" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
			o != u.Scheme+"://"+u.Host) {
			return config.Errorf("http.cors-origins has %.128q; allowed: origins such as "+
				"https://clips.example:8443, * for any", o)
		}
	}
	return nil
}

// hostPattern is a host name in lower case, an underscore allowed, as Docker's names have them.
var hostPattern = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?$`)
