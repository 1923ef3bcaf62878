package engine

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

// measure tells what clips take of a shard's memory. It runs the code that allocates, without
// weights and on a compute.Meter, in two sizes of everything: memory is linear in them.
func measure(f *model.Folder) (job.Memory, error) {
	m := job.Memory{Weights: map[string]int64{}}
	for _, t := range []compute.DType{compute.FP32, compute.BF16} {
		m.Weights[t.String()] = weightBytes(f, t)
	}

	dit := wan.Outline(f.Transformer, compute.FP32)
	one, _ := dit.TextBytes(1)
	two, _ := dit.TextBytes(2)
	m.TextToken = float64(two - one)

	// Alone, for n and 2n tokens; then as one of two ranks.
	const n = 1 << 12
	m.PassToken, m.Pass = line(n, passBytes(dit, f, n, 1), passBytes(dit, f, 2*n, 1))
	shared := float64(passBytes(dit, f, 2*n, 2)) - m.PassToken*n - float64(m.Pass)
	m.PassShared = max(0, shared/n) // of 2n tokens, for half of the heads

	// The text of the first token has another row, for padding.
	m.Pass += one

	decoder, err := vae.Load(&compute.Meter{}, f.VAE, model.Unread("vae", f.VAE.Shapes()))
	if err != nil {
		return job.Memory{}, fmt.Errorf("cannot measure the decoder: %w", err)
	}
	const rows, columns = 16, 16
	small, err := decodeBytes(decoder, f.VAE.ZDim, rows, columns)
	if err != nil {
		return job.Memory{}, err
	}
	large, err := decodeBytes(decoder, f.VAE.ZDim, 2*rows, columns)
	if err != nil {
		return job.Memory{}, err
	}
	m.DecodePlace, m.Decode = line(rows*columns, small, large)
	return m, nil
}

// line returns slope and offset of a line that has the value a at n, and b at 2n.
func line(n, a, b int64) (slope float64, offset int64) {
	return float64(b-a) / float64(n), max(0, 2*a-b)
}

// weightBytes returns the bytes of the packed weights that stay from one clip to the next.
func weightBytes(f *model.Folder, t compute.DType) int64 {
	n := int64(0)
	for _, expert := range f.Pipeline.Experts {
		n += f.Bytes(expert, t)
	}
	for name, s := range f.VAE.Shapes() {
		if !strings.HasPrefix(name, "encoder.") && !strings.HasPrefix(name, "quant_conv.") {
			n += 4 * int64(s.Elements())
		}
	}
	return n
}

// passBytes returns what a pass over a window of so many tokens takes of one of some ranks, which
// share tokens and heads evenly.
func passBytes(dit *wan.Transformer, f *model.Folder, tokens, ranks int) int64 {
	p := f.Transformer.PatchSize
	g := partition.Grid{T: p[0], H: p[1], W: tokens * p[2],
		PT: p[0], PH: p[1], PW: p[2]}
	return dit.SequenceBytes(g, 0, partition.Even(tokens, ranks),
		partition.Even(f.Transformer.NumAttentionHeads, ranks))
}

// decodeBytes returns what decoding latent frames of a size takes of a device.
func decodeBytes(d *vae.Decoder, channels, h, w int) (int64, error) {
	m := &compute.Meter{}
	s, err := d.On(m).NewStream(h, w)
	if err != nil {
		return 0, fmt.Errorf("cannot measure the decoder: %w", err)
	}
	defer s.Free()

	// From the third latent frame on, nothing more is allocated.
	for range 3 {
		if _, err := s.Next(make([]float32, channels*h*w)); err != nil {
			return 0, fmt.Errorf("cannot measure the decoder: %w", err)
		}
	}
	return m.Peak(), nil
}
