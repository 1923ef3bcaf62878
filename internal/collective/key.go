package collective

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// KeyBytes is the size of a Key.
const KeyBytes = 32

// Key is the secret of an attempt, under which transports between processes seal what they send;
// the zero value is none: they do not. Whoever has it can take any rank's place in the attempt, and
// nobody else can. It is never printed.
type Key [KeyBytes]byte

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k == Key{} }

// MarshalText implements encoding.TextMarshaler, for orders: base64.
func (k Key) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, k[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. The error does not repeat what it read.
func (k *Key) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(b) != KeyBytes {
		return fmt.Errorf("a key of %d characters; allowed: %d bytes in base64", len(text), KeyBytes)
	}
	copy(k[:], b)
	return nil
}

// Format implements fmt.Formatter: all verbs hide the key.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.hidden()) }

// LogValue implements slog.LogValuer, likewise.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.hidden()) }

func (k Key) hidden() string {
	if k.IsZero() {
		return "no key"
	}
	return "a key"
}
