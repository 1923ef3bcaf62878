package api

import (
	"slices"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/keyfile"
)

// ReadClients takes the settings that say what clients of an API may send: other names of models,
// the model and the format of clips that name none, and whether pictures are fetched from URLs.
// Both cmd/coordinator and `longtake up` have these settings; an error is a *config.Error.
func ReadClients(v *config.Values) (Clients, error) {
	aliases, err := ParseAliases(v.Strings("http.model-aliases"))
	if err != nil {
		return Clients{}, config.Errorf("http.model-aliases has %w", err)
	}
	return Clients{Aliases: aliases, Model: v.String("http.default-model"),
		Format: v.String("http.default-format"), FetchURLs: v.String("http.fetch-urls")}, nil
}

// Words of http.anonymous in place of scopes.
const (
	anonymousAuto = "auto"
	anonymousNone = "none"
)

// openScopes are what needs no key on loopback: what the quick start, samples for OpenAI's service
// and a Prometheus on the same machine do. What only operators do needs the local key.
var openScopes = access.Scopes{access.VideosRead, access.VideosWrite, access.NodesRead,
	access.Metrics}

// ReadAuth takes the settings that say what an API that listens at an address lets everybody do. An
// error is a *config.Error.
func ReadAuth(v *config.Values, listen string) (Auth, error) {
	texts := v.Strings("http.anonymous")
	if slices.Equal(texts, []string{anonymousAuto}) {
		return Auth{Anonymous: autoScopes(v, listen)}, nil
	}
	if len(texts) == 0 || slices.Equal(texts, []string{anonymousNone}) {
		return Auth{}, nil
	}
	scopes, err := access.ParseScopes(texts)
	if err != nil {
		return Auth{}, config.Errorf("http.anonymous is %.128q; allowed: auto, none, or some of %s",
			texts, access.ScopesAllowed())
	}
	return Auth{Anonymous: scopes}, nil
}

// OpenAuth is the access to an API on loopback where nothing is set.
func OpenAuth() Auth { return Auth{Anonymous: openScopes} }

// autoScopes are what needs no key where nothing is set.
func autoScopes(v *config.Values, listen string) access.Scopes {
	switch {
	case v.Insecure() != "":
		return access.AllScopes
	case v.String("tls.dir") == "" && config.OnLoopback(listen):
		return openScopes
	}
	return nil
}

// UseLocalKey lets the holder of the local key in, of which it returns the file; it makes one where
// there is none. data is for a user without a home.
func (a *Auth) UseLocalKey(data string) (path string, err error) {
	path, text, err := keyfile.Local(data)
	if err == nil {
		a.LocalKey = access.HashText(text)
	}
	return path, err
}
