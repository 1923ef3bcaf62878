//go:build race

package underrace

// On says whether the race detector is built in.
const On = true
