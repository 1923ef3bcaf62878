package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/partition"
)

// Decoding may be spread over the ranks: each decodes a band of rows of every latent frame, rank 0
// the first one, and rank 0 puts the frames together. Bands overlap, since the decoder's
// convolutions look beyond their rows, so splitting repeats work.

// spreadMost is why decoding is spread at all: where the costliest band takes at most this part of
// what one rank alone would compute.
const spreadMost = 0.85

// framesAhead is how many latent frames a rank may be ahead of rank 0. It bounds what waits there.
const framesAhead = 2

// decodeOrder is what rank 0 asks of another rank: a band of the latent.
type decodeOrder struct {
	Latents job.Object      `json:"latents"`
	Rows    partition.Range `json:"rows"`
	From    int             `json:"from,omitempty"` // the first latent frame whose rows are wanted
}

// rowBands returns the rows of the latent that each rank decodes, from rank 0 on; the ranks beyond
// have nothing to do. It takes as many ranks as leave the costliest band the least.
func (r *run) rowBands() []partition.Range {
	h := r.grid.H
	best := []partition.Range{{Lo: 0, Hi: h}}
	if r.SharedCores {
		return best
	}

	// More ranks make bands smaller but repeat more rows, so that the best number is not the largest.
	least := spreadMost * r.costliest(best)
	for n := 2; n <= min(r.Transport.Size(), h); n++ {
		bands := partition.Even(h, n)
		if cost := r.costliest(bands); cost < least {
			best, least = bands, cost
		}
	}
	return best
}

// costliest returns the most that a rank computes, in the units of the decoder's Cost.
func (r *run) costliest(bands []partition.Range) float64 {
	most := 0.0
	for _, rows := range bands {
		most = max(most, r.e.decoder.Cost(r.grid.H, r.grid.W, rows))
	}
	return most
}

// releaseRanks tells the ranks that have nothing to decode that they are done.
func (r *run) releaseRanks(ctx context.Context, bands []partition.Range) error {
	for peer := len(bands); peer < r.Transport.Size(); peer++ {
		if err := r.Transport.Send(ctx, peer, r.closingTag(opDecodeOrder), nil); err != nil {
			return err
		}
	}
	return nil
}

// orderBands tells the other ranks which rows to decode, of which stored latents, from which latent
// frame on.
func (r *run) orderBands(ctx context.Context, latents job.Object, bands []partition.Range,
	from int) error {
	for peer := 1; peer < len(bands); peer++ {
		b, err := json.Marshal(decodeOrder{latents, bands[peer], from})
		if err != nil {
			return err
		}
		if err := r.Transport.Send(ctx, peer, r.closingTag(opDecodeOrder), b); err != nil {
			return err
		}
	}
	return nil
}

// awaitDecodeOrder waits on a rank but 0 until rank 0 has stored the latents, and decodes what it
// orders.
func (r *run) awaitDecodeOrder(ctx context.Context) error {
	text, err := r.Transport.Recv(ctx, 0, r.closingTag(opDecodeOrder))
	if err != nil || len(text) == 0 {
		return err
	}
	return r.stage(job.StageDecode, func() error { return r.decodeBand(ctx, text) })
}

// decodeBand carries out an order of rank 0: it sends the rows [frames, rows, W, 3] of each latent
// frame as soon as they are decoded.
func (r *run) decodeBand(ctx context.Context, text []byte) error {
	var o decodeOrder
	if err := json.Unmarshal(text, &o); err != nil || o.From < 0 || o.From >= r.grid.T {
		return r.badMessage(0, "an order to decode", len(text))
	}

	return r.withTempFile(func(f *os.File) error {
		if err := r.copyObject(ctx, f, 0, o.Latents); err != nil {
			return fmt.Errorf("cannot read the latents: %w", err)
		}

		// Rank 0 may be slower, and what it has not taken is memory there.
		send := func(t int, frames [][]float32) error {
			if t-framesAhead >= o.From {
				if err := r.awaitTaken(ctx, t-framesAhead); err != nil {
					return err
				}
			}
			rgb := make([]uint8, len(frames)*len(frames[0]))
			if err := media.ToRGB(rgb, slices.Concat(frames...)); err != nil {
				return err
			}
			return r.Transport.Send(ctx, 0, r.frameTag(t, opRows), rgb)
		}

		// The transport ends with the rank, so the rank waits until its last rows are taken.
		err := r.decodeRows(ctx, f.Name(), o.Rows, o.From, send)
		for t := max(o.From, r.grid.T-framesAhead); t < r.grid.T && err == nil; t++ {
			err = r.awaitTaken(ctx, t)
		}
		return err
	})
}

// awaitTaken waits until rank 0 has put the rows of latent frame t into its frames.
func (r *run) awaitTaken(ctx context.Context, t int) error {
	_, err := r.Transport.Recv(ctx, 0, r.frameTag(t, opRowsTaken))
	return err
}

// assemble puts the frames of latent frame t together on rank 0: own has its own rows of each frame
// [rows, W, 3], those of the other bands come from their ranks.
func (r *run) assemble(ctx context.Context, t int, own [][]float32,
	bands []partition.Range) ([]media.Frame, error) {
	s := r.Plan.Spec
	frames := make([]media.Frame, len(own))
	for i := range frames {
		frames[i] = media.Frame{W: s.Width, H: s.Height, RGB: make([]uint8, 3*s.Width*s.Height)}
		if err := media.ToRGB(frames[i].RGB[:len(own[i])], own[i]); err != nil {
			return nil, err
		}
	}

	// Bands lie below one another: rank 0's at the top, then one for each rank.
	line := 3 * s.Width * r.e.folder.VAE.SpatialScale() // bytes of one latent row
	for peer := 1; peer < len(bands); peer++ {
		lo, n := bands[peer].Lo*line, bands[peer].Len()*line
		rows, err := r.Transport.Recv(ctx, peer, r.frameTag(t, opRows))
		if err != nil {
			return nil, err
		}
		if len(rows) != n*len(frames) {
			return nil, r.badMessage(peer, "frames", len(rows))
		}
		for i := range frames {
			copy(frames[i].RGB[lo:], rows[i*n:(i+1)*n])
		}
	}
	return frames, r.confirmRows(ctx, t, len(bands))
}

// confirmRows tells the ranks of the other bands that rank 0 has their rows of latent frame t. With
// the last frame's they are done, which is reported first, so that nobody takes their end for a
// loss.
func (r *run) confirmRows(ctx context.Context, t, ranks int) error {
	if t == r.grid.T-1 && r.ranksDecoding > 1 {
		r.ranksDecoding = 0
		r.report(job.StageDecode, r.framesDecoded, r.Plan.Spec.Frames, 0)
	}
	for peer := 1; peer < ranks; peer++ {
		if err := r.Transport.Send(ctx, peer, r.frameTag(t, opRowsTaken), nil); err != nil {
			return err
		}
	}
	return nil
}
