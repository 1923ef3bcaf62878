package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/keyfile"
)

// readAPI makes the configuration of the HTTP API of a coordinator's settings, without what only
// the running coordinator knows.
func readAPI(v *config.Values) (c api.Config, err error) {
	c.Origins = v.Strings("http.cors-origins")
	if err := api.CheckAccess(v.Strings("http.hosts"), c.Origins); err != nil {
		return c, err
	}
	c.Clients, err = api.ReadClients(v)
	auth, aerr := api.ReadAuth(v, v.String("http.listen"))
	c.Auth = auth
	return c, errors.Join(err, aerr)
}

// makeKeys makes the data directory and sees to the keys that are there before anybody creates one:
// the local key, of which it returns the file, or with certificates the one that pki init has left.
func makeKeys(v *config.Values, cfg *coord.Config, auth *api.Auth) (local string, err error) {
	if err := os.MkdirAll(cfg.Data, 0o750); err != nil {
		return "", fmt.Errorf("cannot create the data directory: %w", err)
	}
	dir := v.String("tls.dir")
	if dir == "" {
		return auth.UseLocalKey(cfg.Data)
	}
	cfg.Admin, _, err = keyfile.ReadAdmin(dir)
	return "", err
}

// hosts are the names and addresses by which clients reach a coordinator that joins: those of its
// settings, and this machine's own.
func hosts(v *config.Values) []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	add := func(host string) {
		ip := net.ParseIP(host)
		if host != "" && (ip == nil || !ip.IsUnspecified()) && !slices.Contains(out, host) {
			out = append(out, host)
		}
	}

	if u, err := url.Parse(v.String("http.url")); err == nil {
		add(u.Hostname())
	}
	if host, _, err := net.SplitHostPort(v.String("http.listen")); err == nil {
		add(host)
	}
	if name, err := os.Hostname(); err == nil {
		add(name)
	}
	return out
}
