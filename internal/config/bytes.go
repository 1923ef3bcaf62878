package config

import (
	"errors"
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// Bytes is the type of settings that count bytes. They are written as a number, with or without a
// unit: powers of 1000 (kB, MB, GB, TB) or of 1024 (KiB, MiB, GiB, TiB). Flags, variables and YAML
// share this form; fractions such as 1.5GiB are taken as well.
type Bytes int64

// toBytes reads one from a number or a text. The limit is that of int64, since sizes are added and
// compared as signed numbers. An error tells convert only that the value is wrong; the text for the
// user is convert's.
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
