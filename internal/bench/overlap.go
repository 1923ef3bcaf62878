package bench

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// overlap times what a step of several ranks does: copies to the host and back while products are
// computed. Where a device runs copies and products on one queue, nothing is hidden and the
// exchange of activations adds to every layer.
type overlap struct {
	dev      compute.Device
	down, up compute.Mat    // [rows, width]: what is copied, and where it comes back
	x, y     compute.Mat    // [side, side]: operand and result of the products
	w        compute.Linear // [side, side]
	products int            // of a round
	bytes    []byte         // down in bfloat16, on the host
}

// overlapName and peerCopyName are what the rows of copies are called.
func overlapName(rows, width int) string {
	return fmt.Sprintf("copies %dx%d beside gemms", rows, width)
}

func peerCopyName(rows, width int) string { return fmt.Sprintf("GPU to GPU %dx%d", rows, width) }

// overlapRow times the copies of a matrix of rows x width, then products of side x side that take
// about as long, then both at once. The row has the time of both; its note says how much of the
// shorter part the longer one has hidden.
func (g GPU) overlapRow(rows, width, side int) (Row, error) {
	// Everything is allocated before the clock runs.
	a := model.NewArena(g.Device)
	defer a.Free()
	o := overlap{dev: g.Device, down: a.Mat(rows, width), up: a.Mat(rows, width),
		x: a.Mat(side, side), y: a.Mat(side, side), bytes: make([]byte, 2*rows*width), products: 1}
	r := Row{Name: overlapName(rows, width), DType: compute.BF16.String()}
	var err error
	if o.w, err = g.Device.PackLinear(random(side*side), nil, side, side, compute.BF16); err != nil {
		return r, err
	}
	if err := a.Err(); err != nil {
		return r, err
	}

	g.Device.Upload(o.down, random(rows*width))
	g.Device.Upload(o.x, random(side*side))

	copies, err := o.least(g.Rounds, true, false)
	if err != nil {
		return r, err
	}

	one, err := o.least(g.Rounds, false, true)
	if err != nil {
		return r, err
	}

	// Hiding shows best where both take equally long.
	o.products = min(max(1, int(math.Round(copies/one))), 1000)
	computing, err := o.least(g.Rounds, false, true)
	if err != nil {
		return r, err
	}

	if r.Seconds, err = o.least(g.Rounds, true, true); err != nil {
		return r, err
	}

	// 100 %: both at once took as long as the longer one; 0 %: as long as one after the other. Each
	// was measured by itself, so that the figures may be slightly beyond what can be.
	hidden := min(max((copies+computing-r.Seconds)/min(copies, computing), 0), 1)
	r.Note = fmt.Sprintf("copies alone %.3g ms, products alone %.3g ms: %.0f %% of the shorter hidden",
		1e3*copies, 1e3*computing, 100*hidden)
	return r, nil
}

// least returns the least time in seconds of some rounds of copies, products or both.
func (o *overlap) least(rounds int, copies, products bool) (float64, error) {
	least := math.Inf(1)
	// One more than counts: the first one takes memory, and is hardly ever the least.
	for range rounds + 1 {
		begun := time.Now()
		if err := o.round(copies, products); err != nil {
			return 0, err
		}
		least = min(least, time.Since(begun).Seconds())
	}
	return least, nil
}

// round downloads and uploads a matrix, issues the products in between, and waits for everything.
// The order is that of a rank's layer: results leave, the next products begin, what has arrived
// comes in.
func (o *overlap) round(copies, products bool) error {
	c := compute.BeginCopies(o.dev)
	fetch := func() error { return nil }
	if copies {
		fetch = c.Download(o.bytes, o.down, compute.BF16)
	}

	// Issued while the download is under way.
	for range o.products {
		if products {
			o.dev.Linear(o.y, o.x, o.w, compute.Epilogue{})
		}
	}

	err := fetch()
	if copies && err == nil {
		err = c.Upload(o.up, o.bytes, compute.BF16)
	}
	c.End()
	if err != nil {
		return err
	}
	return o.dev.Sync()
}

// peerCopyRow times a matrix on its way from this GPU to another one, packed on the one and
// unpacked on the other. The time includes the packing to bfloat16 and the unpacking, which ranks
// have to wait for as well.
func (g GPU) peerCopyRow(rows, width int) (Row, error) {
	r := Row{Name: peerCopyName(rows, width), DType: compute.BF16.String(), Seconds: math.Inf(1)}
	a, b := model.NewArena(g.Device), model.NewArena(g.Other)
	defer a.Free()
	defer b.Free()
	from, to := a.Mat(rows, width), b.Mat(rows, width)
	if err := errors.Join(a.Err(), b.Err()); err != nil {
		return r, err
	}

	g.Device.Upload(from, random(rows*width))
	// Again the first one takes memory.
	for range g.Rounds + 1 {
		if err := g.Device.Sync(); err != nil {
			return r, err
		}
		begun := time.Now()
		if err := g.copyToPeer(from, to); err != nil {
			return r, err
		}
		r.Seconds = min(r.Seconds, time.Since(begun).Seconds())
	}
	r.Note = fmt.Sprintf("%.3g GB/s", float64(2*rows*width)/r.Seconds/1e9)
	return r, nil
}

// copyToPeer passes a matrix to the other GPU and waits until it is there.
func (g GPU) copyToPeer(from, to compute.Mat) error {
	// The giver's set ends last: until then it may not withdraw what it gave.
	out, in := compute.BeginCopies(g.Device), compute.BeginCopies(g.Other)
	defer out.End()
	giver, gives := out.(compute.PeerCopies)
	taker, takes := in.(compute.PeerCopies)
	if !gives || !takes {
		return errors.New("the devices cannot copy from each other")
	}
	ticket, err := giver.Give(from, compute.BF16)
	if err == nil {
		err = taker.Take(to, ticket, compute.BF16)
	}
	in.End()
	return errors.Join(err, g.Other.Sync())
}
