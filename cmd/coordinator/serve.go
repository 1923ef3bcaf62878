package main

import (
	"errors"
	"fmt"
	"os"

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
