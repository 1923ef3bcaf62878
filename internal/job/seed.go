package job

import (
	"math"
	"strconv"
	"strings"
)

// SeedAllowed says what ParseSeed takes.
const SeedAllowed = "an integer from 0 to 18446744073709551615; -1 draws one, and to one below " +
	"that 2^64 is added, as torch's manual_seed does"

// ParseSeed reads a seed, nil for -1, which asks for one to be drawn. Whole numbers may be written
// as floats do (42.0, 1e3), as far as those tell them apart. Negative ones are what torch's
// manual_seed makes of them: 2^64 is added.
func ParseSeed(text string) (*uint64, error) {
	wrong := &FieldError{"seed", quote(text), SeedAllowed}
	t := strings.TrimSpace(text)
	if len(t) > 64 {
		return nil, wrong
	}

	if whole, zeros, ok := strings.Cut(t, "."); ok && strings.Trim(zeros, "0") == "" {
		t = whole // exactly, beyond what a float holds
	}
	if v, err := strconv.ParseUint(t, 10, 64); err == nil {
		return &v, nil
	}
	v, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		if v, err = wholeFloat(t); err != nil {
			return nil, wrong
		}
	}

	if v == -1 {
		return nil, nil
	}
	seed := uint64(v) //nolint:gosec // two's complement, as torch
	return &seed, nil
}

// ParseInt reads an integer, which may be written as floats do (81.0, 1e3). Clients in languages
// without integers send them so. An error does not name the text; the caller's does.
func ParseInt(text string) (int, error) {
	t := strings.TrimSpace(text)
	if v, err := strconv.Atoi(t); err == nil {
		return v, nil
	}
	v, err := wholeFloat(t)
	return int(v), err
}

// wholeFloat reads a float that is an integer, of a size below which no two integers look alike.
// Beyond 2^53 two neighbouring integers have one float, and the seed that was meant cannot be told.
func wholeFloat(t string) (int64, error) {
	v, err := strconv.ParseFloat(t, 64)
	if err != nil || v != math.Trunc(v) || math.Abs(v) >= 1<<53 || strings.ContainsAny(t, "xX_") {
		return 0, strconv.ErrSyntax
	}
	return int64(v), nil
}
