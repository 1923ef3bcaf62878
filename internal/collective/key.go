package collective

import (
	"fmt"
	"io"
	"log/slog"
)

// KeyBytes is the size of a Key.
const KeyBytes = 32

// Key is the secret of an attempt, under which transports between processes seal what they send;
// nil: they do not. Whoever has it can take any rank's place in the attempt, and nobody else can.
// It is never printed.
type Key []byte

// Check wants a key of the right size, or none.
func (k Key) Check() error {
	if len(k) != 0 && len(k) != KeyBytes {
		return fmt.Errorf("a key of %d bytes; allowed: none, or %d", len(k), KeyBytes)
	}
	return nil
}

// Format implements fmt.Formatter: all verbs hide the key.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.hidden()) }

// LogValue implements slog.LogValuer, likewise.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.hidden()) }

func (k Key) hidden() string {
	if len(k) == 0 {
		return "no key"
	}
	return "a key"
}
