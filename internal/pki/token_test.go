package pki_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/pki"
)

// FuzzToken reads tokens from whatever text: what is taken is written again as it was, and what is
// shown of it has no secret.
func FuzzToken(f *testing.F) {
	t, err := pki.NewToken(sha256.Sum256([]byte("ca")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(t.Text())
	f.Add(strings.ToUpper(t.Text()))
	f.Add("LT1..")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := pki.ParseToken(text)
		if err != nil {
			if strings.Contains(err.Error(), text) && len(text) > 20 {
				t.Errorf("the error shows the token: %v", err)
			}
			return
		}
		if tok.Text() != text || strings.Contains(fmt.Sprint(tok), tok.Secret()) {
			t.Errorf("%q is read as %q, and shown as %v", text, tok.Text(), tok)
		}
	})
}
