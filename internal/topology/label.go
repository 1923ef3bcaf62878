package topology

import (
	"fmt"
	"strings"
)

// labelLimit bounds the bytes of a label.
const labelLimit = 64

// LabelAllowed says what CheckLabel takes.
const LabelAllowed = "up to 64 letters, digits, '-', '_' or '.', or nothing"

// CheckLabel reports whether a text can name a host or a rack.
func CheckLabel(label string) error {
	if len(label) > labelLimit || strings.ContainsFunc(label, notInLabel) {
		return fmt.Errorf("label %.80q; allowed: %s", label, LabelAllowed)
	}
	return nil
}

// notInLabel reports whether a character is not allowed.
func notInLabel(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' ||
		c == '_' || c == '.')
}

// Label makes a label of a text, such as the name of a machine.
func Label(text string) string {
	clean := strings.Map(func(c rune) rune {
		if notInLabel(c) {
			return '-'
		}
		return c
	}, text)
	return clean[:min(len(clean), labelLimit)]
}
