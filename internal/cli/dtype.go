package cli

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/daemon"
)

// parseDType reads --dtype; another name is a usage error. Both generate and bench run have the
// flag.
func parseDType(name string) (compute.DType, error) {
	t, err := compute.ParseDType(name)
	if err != nil {
		return t, daemon.Usagef("--%w", err)
	}
	return t, nil
}
