package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// tokenPrefix is the version of the form of tokens.
const tokenPrefix = "LT1"

// secretBytes is how much of a token is random: nobody guesses 160 bits within its life.
const secretBytes = 20

// Token lets one process join a cluster: LT1.<CA SHA-256>.<secret>, the scheme of Docker's Swarm.
// The first part tells the process which CA to believe before it has any certificate, the second
// tells the cluster that the process is let in. Whoever has the text can use it, once.
type Token struct {
	CA     [sha256.Size]byte // SHA-256 of the CA's certificate
	secret string
}

// NewToken makes a token that pins a CA.
func NewToken(ca [sha256.Size]byte) (Token, error) {
	b := make([]byte, secretBytes)
	if _, err := rand.Read(b); err != nil {
		return Token{}, fmt.Errorf("cannot make a token: %w", err)
	}
	return Token{ca, hex.EncodeToString(b)}, nil
}

// ParseToken reads a token as Text writes it. The error never shows any of it.
func ParseToken(text string) (Token, error) {
	wrong := errors.New("the token is not whole; allowed: LT1. and the two parts that longtake pki " +
		"token printed after it")
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != tokenPrefix || strings.ToLower(text[4:]) != text[4:] {
		return Token{}, wrong
	}
	ca, err := hex.DecodeString(parts[1])
	if err != nil || len(ca) != sha256.Size {
		return Token{}, wrong
	}
	if b, err := hex.DecodeString(parts[2]); err != nil || len(b) != secretBytes {
		return Token{}, wrong
	}
	return Token{[sha256.Size]byte(ca), parts[2]}, nil
}

// Text is what is shown to people, once. ParseToken reads it.
func (t Token) Text() string {
	return tokenPrefix + "." + hex.EncodeToString(t.CA[:]) + "." + t.secret
}

// String keeps the secret out of logs.
func (t Token) String() string { return tokenPrefix + ".xxxxx" }

// Secret is the part that the cluster wants to see. It is sent to a coordinator that has shown the
// CA, and to nobody else.
func (t Token) Secret() string { return t.secret }

// HashSecret is what the cluster keeps of a secret, in hex. Of 160 random bits the SHA-256 gives
// nothing away.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
