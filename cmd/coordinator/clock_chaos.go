//go:build chaos

package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// clock is the time of day of a run that sets it: the machine's, and what the file "clock" in the
// data directory says.
func clock(data string) func() time.Time {
	return func() time.Time {
		text, _ := os.ReadFile(filepath.Join(data, "clock"))         //nolint:errcheck // nothing set yet
		by, _ := time.ParseDuration(strings.TrimSpace(string(text))) //nolint:errcheck // likewise
		return time.Now().Add(by)
	}
}
