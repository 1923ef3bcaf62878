package cli

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/daemon"
)

func parseDType(name string) (compute.DType, error) {
	t, err := compute.ParseDType(name)
	if err != nil {
		return t, daemon.Usagef("--%w", err)
	}
	return t, nil
}
