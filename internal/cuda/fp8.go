//go:build cuda

package cuda

import "github.com/longtake/longtake/internal/compute"

// DTypes implements compute.TypeLister: there are no kernels for FP8 yet.
func (d *Device) DTypes() []compute.DType { return []compute.DType{compute.FP32, compute.BF16} }
