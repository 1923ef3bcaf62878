//go:build nodemo

package cli

import (
	"bytes"
	"testing"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/models/demo"
)

// TestWithoutTheDemoAModelMustBeNamed runs in builds with the tag nodemo alone.
func TestWithoutTheDemoAModelMustBeNamed(t *testing.T) {
	var stderr bytes.Buffer
	code := daemon.Execute(t.Context(), Longtake(), []string{"generate", "-p", "a ball"}, &stderr)
	if code != daemon.ExitBadRequest {
		t.Errorf("exit code %d; want %d", code, daemon.ExitBadRequest)
	}
	if want := "longtake: " + demo.ErrLeftOut.Error() + "\n"; stderr.String() != want {
		t.Errorf("it says %q; want %q", stderr.String(), want)
	}
}
