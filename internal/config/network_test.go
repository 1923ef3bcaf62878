package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestOpenPortsAreRefused holds every port of every program to loopback, unless certificates or a
// declaration say otherwise.
func TestOpenPortsAreRefused(t *testing.T) {
	programs := map[string]Settings{"coordinator": Coordinator(), "shard": Shard(), "up": Up()}
	try := func(s Settings, args ...string) (*Values, error) {
		t.Helper()
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		s.Define(fs)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		return Load(s, fs, "")
	}

	seen := map[string]bool{}
	for name, s := range programs {
		if v, err := try(s); err != nil || v.Insecure() != "" {
			t.Errorf("%s with its defaults: %v", name, err)
		}
		for _, key := range ports {
			x := Setting{Key: key}
			if !slices.Contains(s.keys(), key) {
				continue
			}
			seen[key] = true
			for addr, open := range map[string]bool{"0.0.0.0:80": true, ":80": true, "[::]:80": true,
				"10.0.0.1:80": true, "gpu-1:80": true, "127.0.0.1:80": false, "127.9.9.9:80": false,
				"[::1]:80": false, "localhost:0": false} {
				flag := "--" + x.Flag() + "=" + addr
				_, err := try(s, flag)
				if open != (err != nil && strings.HasPrefix(err.Error(), key+" is ")) {
					t.Errorf("%s %s: %v", name, flag, err)
				}
				if _, err := try(s, flag, "--tls-dir=tls"); err != nil {
					t.Errorf("%s %s with certificates: %v", name, flag, err)
				}
				if v, err := try(s, flag, "--insecure-network"); err != nil || v.Insecure() == "" {
					t.Errorf("%s %s, declared: %v", name, flag, err)
				}
			}
		}
	}
	if len(seen) != len(ports) {
		t.Errorf("only %v are settings, of %v", seen, ports)
	}
}
