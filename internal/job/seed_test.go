package job

import (
	"errors"
	"fmt"
	"testing"
)

// TestSeeds holds seeds to what torch.Generator("cpu").manual_seed(seed).initial_seed() returns in
// torch 2; only -1 means something else here.
func TestSeeds(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "42": "42", " 42 ": "42", "42.0": "42", "4.2e1": "42", "42.": "42",
		"8589934592": "8589934592", "9223372036854775808": "9223372036854775808",
		"9223372036854775809.0": "9223372036854775809", "18446744073709551615": "18446744073709551615",
		"-1": "drawn", "-1.0": "drawn", "-2": "18446744073709551614", "-5": "18446744073709551611",
		"-9223372036854775808": "9223372036854775808",
		"18446744073709551616": "", "-9223372036854775809": "", "1.5": "", "": "", "x": "", "1e300": "",
		"9007199254740993e0": "", "0x10": "", "1_000": "", "NaN": "", "Inf": "", "1.0.0": "",
	} {
		seed, err := ParseSeed(text)
		got := ""
		var wrong *FieldError
		switch {
		case err == nil && seed == nil:
			got = "drawn"
		case err == nil:
			got = fmt.Sprint(*seed)
		case !errors.As(err, &wrong) || wrong.Field != "seed":
			t.Errorf("%q: %v", text, err)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestIntegersMayBeFloats(t *testing.T) {
	for text, want := range map[string]int{"81": 81, "81.0": 81, "8.1e1": 81, " -3 ": -3} {
		if got, err := ParseInt(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "81.5", "1e300", "nan", "0x51", "8_1", "eighty"} {
		if got, err := ParseInt(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}
