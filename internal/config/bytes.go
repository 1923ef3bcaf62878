package config

import (
	"errors"
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// Bytes is the type of settings that count bytes. They are written as a number, with or without a
// unit: powers of 1000 (kB, MB, GB, TB) or of 1024 (KiB, MiB, GiB, TiB).
type Bytes int64

// toBytes reads one from a number or a text.
func toBytes(value any) (Bytes, error) {
	if b, ok := value.(Bytes); ok {
		return b, nil
	}
	n, err := humanize.ParseBytes(fmt.Sprint(value))
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt64 {
		return 0, errors.New("too many")
	}
	return Bytes(n), nil
}
