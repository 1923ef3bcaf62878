package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Around its band a rank also computes rows that others have. Decoding is spread over the ranks
// where the busiest of them then computes at most this part of what one alone would.
const spreadMost = 0.85

// A rank is at most this many frame groups ahead of rank 0.
const aheadMost = 2

// order is what rank 0 asks of another rank: some rows of the latent.
type order struct {
	Latents job.Object      `json:"latents"`
	Rows    partition.Range `json:"rows"`
	From    int             `json:"from,omitempty"` // the first latent frame whose rows are wanted
}

// shares returns the rows of the latent that each rank decodes, from rank 0 on; the ranks beyond
// are done. It takes as many ranks as leave the busiest one the least.
func (r *run) shares() []partition.Range {
	h := r.grid.H
	best := []partition.Range{{Lo: 0, Hi: h}}
	if r.SharedCores {
		return best
	}
	least := spreadMost * r.busiest(best)
	for n := 2; n <= min(r.Transport.Size(), h); n++ {
		shares := partition.Even(h, n)
		if cost := r.busiest(shares); cost < least {
			best, least = shares, cost
		}
	}
	return best
}

// busiest returns the most that a rank computes.
func (r *run) busiest(shares []partition.Range) float64 {
	most := 0.0
	for _, rows := range shares {
		most = max(most, r.e.decoder.Cost(r.grid.H, r.grid.W, rows))
	}
	return most
}

// letGo tells the ranks that have nothing to decode that they are done.
func (r *run) letGo(ctx context.Context, shares []partition.Range) error {
	for peer := len(shares); peer < r.Transport.Size(); peer++ {
		if err := r.Transport.Send(ctx, peer, r.last(opDone), nil); err != nil {
			return err
		}
	}
	return nil
}

// ask tells the others what to decode.
func (r *run) ask(ctx context.Context, latents job.Object, shares []partition.Range,
	from int) error {
	for peer := 1; peer < len(shares); peer++ {
		b, err := json.Marshal(order{latents, shares[peer], from})
		if err != nil {
			return err
		}
		if err := r.Transport.Send(ctx, peer, r.last(opDone), b); err != nil {
			return err
		}
	}
	return nil
}

// assist does what rank 0 asked for: it sends the rows of each frame group as soon as they are
// decoded.
func (r *run) assist(ctx context.Context, text []byte) error {
	var o order
	if err := json.Unmarshal(text, &o); err != nil || o.From < 0 || o.From >= r.grid.T {
		return r.badMessage(0, "an order to decode", len(text))
	}
	return r.withFile(func(f *os.File) error {
		if err := r.copyTo(ctx, f, o.Latents); err != nil {
			return fmt.Errorf("cannot read the latents: %w", err)
		}
		err := r.eachGroup(ctx, f.Name(), o.Rows, o.From, func(t int, frames [][]float32) error {
			if t-aheadMost >= o.From {
				if err := r.taken(ctx, t-aheadMost); err != nil {
					return err
				}
			}
			rgb := make([]uint8, len(frames)*len(frames[0]))
			if err := media.ToRGB(rgb, slices.Concat(frames...)); err != nil {
				return err
			}
			return r.Transport.Send(ctx, 0, r.frameTag(t, opRows), rgb)
		})
		for t := max(o.From, r.grid.T-aheadMost); t < r.grid.T && err == nil; t++ {
			err = r.taken(ctx, t)
		}
		return err
	})
}

// taken waits until rank 0 has the rows of latent frame t.
func (r *run) taken(ctx context.Context, t int) error {
	_, err := r.Transport.Recv(ctx, 0, r.frameTag(t, opTaken))
	return err
}

// frameTag tags the messages about what latent frame t became.
func (r *run) frameTag(t int, op uint32) collective.Tag {
	tag := r.last(op)
	tag.Step += uint32(t) //nolint:gosec // frames are few
	return tag
}

// copyTo reads an object into a file.
func (r *run) copyTo(ctx context.Context, f *os.File, o job.Object) error {
	return r.copyAt(ctx, f, 0, o)
}

// copyAt reads an object into a file, from an offset on.
func (r *run) copyAt(ctx context.Context, f *os.File, at int64, o job.Object) error {
	return RetryStore(ctx, func() error {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return err
		}
		src, err := r.Objects.Get(ctx, o)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, src)
		return errors.Join(err, src.Close())
	})
}

// decode makes the clip on rank 0, or the rest of it: it puts frames together from its own rows and
// those of the other ranks, and hands them to the encoder. The time that it waits for the encoder
// counts as encoding.
func (r *run) decode(ctx context.Context, latents string, o job.Object,
	shares []partition.Range, c *clip) error {
	from, drop := r.missing(c.frames)
	if err := r.ask(ctx, o, shares, from); err != nil {
		return err
	}
	if r.ranks = len(shares); r.ranks > 1 {
		r.report(job.StageDecode, c.frames, r.Plan.Spec.Frames, 0)
	}
	q := encodeBeside(ctx, c.enc)
	defer q.stop()
	add := func(t int, rows [][]float32) error {
		group, err := r.assemble(ctx, t, rows, shares)
		if err != nil {
			return err
		}
		if t == from {
			group = group[drop:]
		}
		return r.encoding(func() error { return q.add(group) })
	}
	if from < r.grid.T {
		if err := r.eachGroup(ctx, latents, shares[0], from, add); err != nil {
			return err
		}
	}
	return r.encoding(func() error {
		if err := q.stop(); err != nil {
			return err
		}
		return c.enc.Close()
	})
}

// encoding runs a part of decoding whose time counts as encoding.
func (r *run) encoding(f func() error) error {
	start := time.Now()
	err := f()
	took := time.Since(start).Seconds()
	r.seconds[job.StageEncode] += took
	r.seconds[job.StageDecode] -= took
	if err != nil {
		return fmt.Errorf("cannot encode frames: %w", err)
	}
	return nil
}

// assemble makes the frames of latent frame t: own has rank 0's rows [rows, W, 3].
func (r *run) assemble(ctx context.Context, t int, own [][]float32,
	shares []partition.Range) ([]media.Frame, error) {
	s := r.Plan.Spec
	group := make([]media.Frame, len(own))
	for i := range group {
		group[i] = media.Frame{W: s.Width, H: s.Height, RGB: make([]uint8, 3*s.Width*s.Height)}
		if err := media.ToRGB(group[i].RGB[:len(own[i])], own[i]); err != nil {
			return nil, err
		}
	}
	line := 3 * s.Width * r.e.folder.VAE.SpatialScale() // of the latent
	for peer := 1; peer < len(shares); peer++ {
		lo, n := shares[peer].Lo*line, shares[peer].Len()*line
		rows, err := r.Transport.Recv(ctx, peer, r.frameTag(t, opRows))
		if err != nil {
			return nil, err
		}
		if len(rows) != n*len(group) {
			return nil, r.badMessage(peer, "frames", len(rows))
		}
		for i := range group {
			copy(group[i].RGB[lo:], rows[i*n:(i+1)*n])
		}
	}
	return group, r.take(ctx, t, len(shares))
}

// take tells the other ranks that their rows of latent frame t are here. Before the last ones it
// reports that they may go.
func (r *run) take(ctx context.Context, t, ranks int) error {
	if t == r.grid.T-1 && r.ranks > 1 {
		r.ranks = 0
		r.report(job.StageDecode, r.frames, r.Plan.Spec.Frames, 0)
	}
	for peer := 1; peer < ranks; peer++ {
		if err := r.Transport.Send(ctx, peer, r.frameTag(t, opTaken), nil); err != nil {
			return err
		}
	}
	return nil
}

// eachGroup decodes some rows of the latent in a file, latent frame by latent frame, and hands what
// each becomes to f, from one latent frame on.
func (r *run) eachGroup(ctx context.Context, latents string, rows partition.Range, from int,
	f func(t int, frames [][]float32) error) error {
	r.release()
	if h, ok := r.host.(MemoryHost); ok {
		h.ReleaseMemory() // decoding does not come on top of what denoising left
	}
	z, err := r.openLatents(latents, r.grid.T)
	if err != nil {
		return err
	}
	defer z.file.Close()
	stream, err := r.e.decoder.NewBand(r.grid.H, r.grid.W, rows)
	if err != nil {
		return err
	}
	defer stream.Free()
	stream.StopWhen(func() error { return context.Cause(ctx) })
	start, total := time.Now(), r.Plan.Spec.Frames
	before := r.e.folder.VAE.FramesBefore(from)
	r.frames = before
	for t := stream.From(from); t < r.grid.T; t++ {
		frames, err := r.decodeFrame(stream, z, t)
		if err != nil {
			return err
		}
		if t < from { // it fills the decoder's caches
			r.report(job.StageDecode, before, total, 0)
			continue
		}
		if err := f(t, frames); err != nil {
			return err
		}
		r.frames += len(frames)
		left := time.Since(start) * time.Duration(total-r.frames) / time.Duration(r.frames-before)
		r.report(job.StageDecode, r.frames, total, left)
	}
	r.tellBands(stream)
	return context.Cause(ctx)
}

// decodeFrame decodes latent frame t, which may come from another rank or another attempt.
func (r *run) decodeFrame(s *vae.Stream, z *latentFile, t int) ([][]float32, error) {
	latent := z.frame(t)
	err := tensor.CheckFinite("the latent", latent)
	var frames [][]float32
	if err == nil {
		frames, err = s.Next(latent)
	}
	if _, bad := errors.AsType[*tensor.NotFiniteError](err); bad {
		err = fmt.Errorf("latent frame %d of %d: %w", t+1, r.grid.T, err)
	}
	return frames, err
}

// tellBands says so where the device had too little memory for whole frames.
func (r *run) tellBands(s *vae.Stream) {
	n := s.Bands()
	if n == 1 {
		return
	}
	what := fmt.Sprintf("the device has too little memory to decode a frame at once; "+
		"it was done in %d bands", n)
	if r.Rank == 0 {
		r.notices = append(r.notices, what)
	} else {
		r.host.Warn(what, compute.ErrMemory)
	}
}

// latentFile is a stored latent [1, C, T, H, W], mapped rather than read.
type latentFile struct {
	file           *safetensors.File
	x              tensor.Tensor
	channels, t, n int // n values of a channel's frame
}

// openLatents opens a latent of the clip's size with so many frames.
func (r *run) openLatents(path string, frames int) (*latentFile, error) {
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	g, c := r.grid, r.e.folder.Transformer.InChannels
	x, err := file.Tensor("latents")
	if want := (tensor.Shape{1, c, frames, g.H, g.W}); err == nil &&
		(x.DType != tensor.F32 || !x.Shape.Equal(want)) {
		err = fmt.Errorf("the latents are %v %v, not F32 %v", x.DType, x.Shape, want)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &latentFile{file, x, c, frames, g.H * g.W}, nil
}

// sumBytes is how much is summed between two looks at whether that is still wanted.
const sumBytes = 64 << 20

// sumOf returns the SHA-256 of the latent's values in a file.
func (r *run) sumOf(ctx context.Context, latents string) (string, error) {
	z, err := r.openLatents(latents, r.grid.T)
	if err != nil {
		return "", err
	}
	defer z.file.Close()
	sum := sha256.New()
	for part := range slices.Chunk(z.x.Data, sumBytes) {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		sum.Write(part)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// frame reads frame t, [C, H, W].
func (l *latentFile) frame(t int) []float32 { return l.frames(partition.Range{Lo: t, Hi: t + 1}) }

// frames reads some frames, [C, frames, H, W].
func (l *latentFile) frames(f partition.Range) []float32 {
	out := make([]float32, l.channels*f.Len()*l.n)
	to, size := tensor.Bytes(out), 4*f.Len()*l.n
	for c := range l.channels {
		at := 4 * (c*l.t + f.Lo) * l.n
		copy(to[c*size:(c+1)*size], l.x.Data[at:at+size])
	}
	return out
}
