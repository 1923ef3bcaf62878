package api

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/keyfile"
	"github.com/longtake/longtake/internal/oidc"
)

// ReadClients takes the settings that say what clients of an API may send: other names of models,
// the model and the format of clips that name none, and whether pictures are fetched from URLs.
// Both cmd/coordinator and `longtake up` have these settings; an error is a *config.Error.
func ReadClients(v *config.Values) (Clients, error) {
	aliases, err := ParseAliases(v.Strings("http.model-aliases"))
	if err != nil {
		return Clients{}, config.Errorf("http.model-aliases has %w", err)
	}
	c := Clients{Aliases: aliases, Model: v.String("http.default-model"),
		Format: v.String("http.default-format"), FetchURLs: v.String("http.fetch-urls")}
	c.Generations, err = readGenerations(v)
	return c, err
}

// readGenerations takes the settings of the synchronous route. Its folders have to be there: one
// that is misspelt would show only at the end of a clip.
func readGenerations(v *config.Values) (g Generations, err error) {
	g.On, g.Most = v.Bool("http.generations"), v.Bytes("http.generations-bytes")
	if g.Dir, err = folderOf(v, "http.generations-dir"); err != nil {
		return g, err
	}
	g.Latents, err = folderOf(v, "http.generations-latents")
	return g, err
}

// folderOf returns the absolute path of a folder that a setting names, "" if it names none.
func folderOf(v *config.Values, key string) (string, error) {
	dir := v.String(key)
	if dir == "" {
		return "", nil
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return "", config.Errorf("%s is %.256q; allowed: a folder that exists", key, dir)
	}
	return filepath.Abs(dir)
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
func ReadAuth(v *config.Values, listen string) (a Auth, err error) {
	if a.Tokens, err = readTokens(v); err != nil {
		return a, err
	}
	a.Anonymous, err = readAnonymous(v, listen)
	return a, err
}

// readAnonymous takes the scopes of who has no key.
func readAnonymous(v *config.Values, listen string) (access.Scopes, error) {
	texts := v.Strings("http.anonymous")
	if slices.Equal(texts, []string{anonymousAuto}) {
		return autoScopes(v, listen), nil
	}
	if len(texts) == 0 || slices.Equal(texts, []string{anonymousNone}) {
		return nil, nil
	}
	scopes, err := access.ParseScopes(texts)
	if err != nil {
		return nil, config.Errorf("http.anonymous is %.128q; allowed: auto, none, or some of %s",
			texts, access.ScopesAllowed())
	}
	return scopes, nil
}

// readTokens takes the settings of an identity provider; nil without one. The provider is not
// asked here: it may be away while a coordinator starts. Without an audience a token for any
// other service of the same provider would let in, so there has to be one.
func readTokens(v *config.Values) (Tokens, error) {
	c := oidc.Config{Issuer: v.String("oidc.issuer"), Audience: v.String("oidc.audience"),
		TeamClaim: v.String("oidc.team-claim")}
	rules, err := oidc.ParseRules(v.Strings("oidc.scopes"))
	if err != nil {
		return nil, config.Errorf("%w", err)
	}
	if c.Issuer == "" {
		return nil, nil
	}
	if c.Audience == "" || len(rules) == 0 {
		return nil, config.Errorf("oidc.issuer is set without oidc.audience or oidc.scopes; allowed: " +
			"all three, so that tokens are meant for this cluster and allow something")
	}
	c.Rules = rules
	return oidc.New(c), nil
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
