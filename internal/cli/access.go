package cli

import (
	"strings"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/keyfile"
)

// clientOf returns a client of the coordinator at a URL, which believes the CA of the settings and
// sends their key. Without one, a coordinator on this machine is sent the local key, if the user
// has one.
func clientOf(v *config.Values, url string) (*client.Client, error) {
	hc, err := client.Trusting(v.String("ca"))
	if err != nil {
		return nil, daemon.Usagef("--ca: %w", err)
	}
	c, err := client.New(url, hc)
	if err != nil {
		return nil, daemon.Usage(err)
	}

	key, err := readKey(v)
	if err != nil || key != "" {
		return c.WithKey(key), err
	}

	if client.OnLoopback(url) {
		if path, err := keyfile.LocalPath(); err == nil {
			local, _ := keyfile.Read(path) // none, or another user's: as if there were none
			return c.TryKey(local), nil
		}
	}
	return c, nil
}

// ownClient returns a client of a coordinator in this process, which knows no keys: those of the
// settings are another's, and would be refused.
func ownClient(_ *config.Values, url string) (*client.Client, error) {
	c, err := client.New(url, nil)
	if err != nil {
		return nil, daemon.Usage(err)
	}
	return c, nil
}

// readKey returns the key that the settings name, "" for none. Of a key and a file with one, that
// counts which was given as a flag, else the key.
func readKey(v *config.Values) (string, error) {
	key, path := strings.TrimSpace(v.String("api-key")), v.String("api-key-file")
	isFlag := func(name string) bool { return strings.HasPrefix(v.Source(name), "flag") }
	if path == "" || key != "" && !(isFlag("api-key-file") && !isFlag("api-key")) {
		return key, nil
	}
	key, err := keyfile.Read(path)
	if err != nil {
		return "", daemon.Usagef("api-key-file: %w", err)
	}
	return key, nil
}
