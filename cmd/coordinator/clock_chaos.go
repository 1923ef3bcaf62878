//go:build chaos

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clock is the time of day of a run that sets it: the machine's, and what the file "clock" in the
// data directory says. The file holds a duration such as -90s, which chaos tests change while the
// process runs. It is read with every call, and one that is missing or unreadable sets nothing.
func clock(data string) func() time.Time {
	return func() time.Time {
		text, _ := os.ReadFile(filepath.Join(data, "clock"))         //nolint:errcheck // nothing set yet
		by, _ := time.ParseDuration(strings.TrimSpace(string(text))) //nolint:errcheck // likewise
		return time.Now().Add(by)
	}
}

// commands is the newest version of commands that the coordinator reads: what the file "commands"
// in the data directory says, or 0 for those there are. A coordinator with the number of an earlier
// program behaves like one in an upgrade.
func commands(data string) int {
	text, _ := os.ReadFile(filepath.Join(data, "commands"))     //nolint:errcheck // mostly none
	version, _ := strconv.Atoi(strings.TrimSpace(string(text))) //nolint:errcheck // likewise
	return version
}
