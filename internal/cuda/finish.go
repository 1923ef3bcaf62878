//go:build cuda

package cuda

import "github.com/longtake/longtake/internal/compute"

// The kernels of linear layers on tensor cores come in kinds, which differ in the epilogue that was
// compiled into them (kernels/linear/finish.h). They follow the one that does everything, in this
// order.
const (
	anyKind kernel = iota
	plain
	active
	residual
	gated
)

// finishing returns the kernel for an epilogue among those of a family, given the family's first.
// The epilogue alone decides, and kinds give the same bits, so that a row's do not depend on it.
func finishing(first kernel, ep compute.Epilogue) kernel {
	switch {
	case ep.Mul != nil:
		return first + anyKind
	case ep.Gate == nil && ep.Residual == nil && ep.Act == compute.Identity:
		return first + plain
	case ep.Gate == nil && ep.Residual == nil && ep.Act == compute.GELUTanh:
		return first + active
	case ep.Act != compute.Identity || ep.Residual == nil:
		return first + anyKind
	case ep.Gate == nil:
		return first + residual
	}
	return first + gated
}
