package bench

import (
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// epilogue is what a layer of Wan does to a product before it is stored.
type epilogue struct {
	name string // behind the sizes of the item, as the peer knows it
	gelu bool   // bias and GELU, written as the operand of the next product
	gate bool   // times a gate row, which comes before the residual
	// residual adds what the block's stream has, in place.
	residual bool
}

// The epilogues of a block: q, k and v; the feed-forward's first product; its second one and
// attention's output; cross attention's output.
var (
	biasOnly     = epilogue{name: "bias"}
	biasGELU     = epilogue{name: "bias+gelu", gelu: true}
	biasGated    = epilogue{name: "bias+gate+residual", gate: true, residual: true}
	biasResidual = epilogue{name: "bias+residual", residual: true}
)

// finished is a product with an epilogue, as a block of a transformer has it: x [m, k] is an
// operand already, which whatever made it has rounded, so that nothing but the product is timed.
func finished(m, k, n int, ep epilogue) item {
	it := gemm(m, k, n)
	it.name, it.one = it.name+" "+ep.name, false
	it.start = func(e *env, t compute.DType) (func() error, func(), error) {
		a := model.NewArena(e.dev)
		x, y := a.Operand(m, k, 0, t), a.Mat(m, n)
		if ep.gelu {
			y = a.Operand(m, n, 0, t)
		}

		gate := compute.RowVec{M: a.Mat(1, n)}
		w, err := e.dev.PackLinear(random(n*k), random(n), n, k, t)
		if err = errors.Join(err, a.Err()); err != nil {
			return nil, nil, err
		}

		// The gate is one row for all, as with one timestep for the whole clip. The residual is the
		// result of the run before, as the stream of a block is that of the block before.
		e.dev.Upload(x, random(m*k))
		e.dev.Upload(gate.M, random(n))

		args := compute.Epilogue{}
		if ep.gelu {
			args.Act = compute.GELUTanh
		}
		if ep.gate {
			args.Gate = &gate
		}
		if ep.residual {
			args.Residual = &y
		}

		return func() error {
			e.dev.Linear(y, x, w, args)
			return nil
		}, a.Free, nil
	}
	return it
}

// layer lists the products of a block of a transformer over so many tokens, with their epilogues,
// in the order in which they run: q, k and v as one; the output of attention, which the timestep's
// gate scales; that of cross attention, which it does not; and both of the feed-forward.
func (s shape) layer(tokens int) []item {
	d := s.heads * s.dim
	return []item{finished(tokens, d, 3*d, biasOnly), finished(tokens, d, d, biasGated),
		finished(tokens, d, d, biasResidual), finished(tokens, d, s.inner, biasGELU),
		finished(tokens, s.inner, d, biasGated)}
}

// uploaded is a weight [side, side] on its way from host memory to the device, packed for products:
// what loading a model does for each of them.
func uploaded(side int) item {
	return item{
		name: fmt.Sprintf("upload weight %dx%d", side, side), types: both,
		bytes: 2 * float64(side) * float64(side), // as files have them: bfloat16
		start: func(e *env, t compute.DType) (func() error, func(), error) {
			packer, ok := e.dev.(compute.StoredPacker)
			if !ok {
				return nil, nil, fmt.Errorf("%s takes no weights as files store them", e.dev.Name())
			}

			// Without it the collector frees them.
			drops, _ := e.dev.(compute.Dropper)
			// In host memory that is not pinned, as a file that is mapped and in the page cache.
			parts := stored(side, side)
			return func() error {
				w, err := packer.PackStored(parts, nil, side, side, t)
				if err != nil {
					return err
				}
				if drops != nil {
					drops.Drop(w)
				}
				return nil
			}, func() {}, nil
		},
	}
}
