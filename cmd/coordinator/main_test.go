package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
)

// TestWrongSettingsExitTwo gives settings that pass the table of settings and that other packages
// refuse: in one line with the setting's name, before anything listens or is written.
func TestWrongSettingsExitTwo(t *testing.T) {
	for setting, value := range map[string]string{
		"http.model-aliases": "=x=", "http.hosts": "a/b", "http.cors-origins": "ftp://x",
		"limits.keep-for": "-1s", "raft.peers": "nobody",
	} {
		t.Run(setting, func(t *testing.T) {
			cmd := daemon.Command("coordinator", "Run a coordinator", long, config.Coordinator(), run)
			dir := t.TempDir()
			args := []string{"--data", dir + "/data", "--http-listen", "127.0.0.1:0",
				"--nats-listen", "127.0.0.1:0", "--" + strings.ReplaceAll(setting, ".", "-"), value}
			var out bytes.Buffer
			code := daemon.Execute(t.Context(), cmd, args, &out)
			if line := out.String(); code != daemon.ExitBadRequest || strings.Count(line, "\n") != 1 ||
				!strings.Contains(line, setting) || !strings.Contains(line, "allowed: ") {
				t.Errorf("exit code %d: %s", code, line)
			}
		})
	}
}
