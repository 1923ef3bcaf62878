package cli

import (
	"strings"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/daemon"
)

// dtypeUsage is the help of --dtype where it is no field of a request.
var dtypeUsage = strings.Join(compute.DTypeNames(), ", ") + " (default: bf16 on GPUs, fp32 on CPUs)"

// checkDType refuses another name of a type than --dtype may have; "" is the devices' own.
func checkDType(name string) error {
	if _, err := compute.ParseDType(name); err != nil {
		return daemon.Usagef("--%w", err)
	}
	return nil
}
