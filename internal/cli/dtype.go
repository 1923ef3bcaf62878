package cli

import (
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/daemon"
)

// dtypeAuto leaves the type to the devices, as in a request.
const dtypeAuto = "auto"

// dtypeUsage is the help of --dtype where it is no field of a request.
var dtypeUsage = strings.Join(compute.DTypeNames(), ", ") + ", or auto: bf16 on GPUs, fp32 on CPUs"

// checkDType refuses another name of a type than --dtype may have; "" stands for auto.
func checkDType(name string) error {
	allowed := append(compute.DTypeNames(), dtypeAuto)
	if name != "" && !slices.Contains(allowed, name) {
		return daemon.Usagef("--dtype is %q; allowed: %s", name, strings.Join(allowed, ", "))
	}
	return nil
}
