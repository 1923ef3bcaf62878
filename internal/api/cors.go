package api

import (
	"net/http"
	"slices"
)

// What browsers are told of this API. Headers that the SDKs send are allowed by name, as "*" does
// not cover Authorization.
const (
	corsMethods = "GET, HEAD, POST, DELETE"
	corsAge     = "600" // seconds that a browser may remember a preflight
	corsHeaders = "Authorization, Content-Type, Idempotency-Key, If-None-Match, If-Range, " +
		"Last-Event-ID, Range, X-Request-Id"
	// What scripts may read besides what they always may.
	corsExposed = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, " +
		"Location, Openai-Poll-After-Ms, Retry-After, X-Request-Id, X-Video-Id"
)

// allowOrigin lets a page of a trusted origin read the answer. It answers preflights itself, and
// then returns true. Nothing depends on cookies, so browsers need not send any. It never refuses
// anything: without these headers the browser keeps the answer from the page, and cross refuses
// what would change something.
func (g *guard) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	if len(g.origins) == 0 {
		return false
	}

	// Caches have to keep answers for different origins apart, also those without the headers
	// below.
	h, origin := w.Header(), r.Header.Get("Origin")
	h.Add("Vary", "Origin")
	if origin == "" || !slices.Contains(g.origins, origin) && !slices.Contains(g.origins, "*") {
		return false
	}

	// The origin itself, never "*": the answer for each origin is its own, as Vary says.
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposed)

	// From here on it is a preflight: the browser asks what it may send.
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked) // the SDKs send many of their own
	}

	// Chrome asks before a public page reaches a server of a local network.
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	h.Set("Access-Control-Max-Age", corsAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
