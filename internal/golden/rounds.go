package golden

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// Rounds has rapid.Check try a law that is costly so many times in the rest of a test, and not the
// usual 100 times. It changes nothing in long runs, in short ones, which try laws 20 times, nor
// where -rapid.checks asks for a number.
func Rounds(t testing.TB, n int) {
	t.Helper()
	checks := flag.Lookup("rapid.checks")
	old := checks.Value.String()
	if old != checks.DefValue || testing.Short() || os.Getenv("LONGTAKE_LONG") != "" {
		return
	}
	t.Cleanup(func() { _ = checks.Value.Set(old) })
	if err := checks.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
}
