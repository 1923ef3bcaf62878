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
	m := job.Memory{Weights: map[string]int64{}, Expert: map[string]int64{}}
	for _, t := range compute.DTypes() {
		m.Weights[t.String()] = weightBytes(f, t, f.Bytes)
		m.Weights[t.String()+job.WithLoRAs] = weightBytes(f, t, f.ChangedBytes)
		if len(stepExperts(f.Pipeline)) == 2 {
			m.Expert[t.String()] = f.Bytes(model.SecondExpert, t)
			m.Expert[t.String()+job.WithLoRAs] = f.ChangedBytes(model.SecondExpert, t)
		}
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

	// Keys and values of the pictures that the transformer sees, one or two.
	if f.Pipeline.ImageEncoder {
		held, _ := dit.PicturesBytes(max(f.ImageEncoder.Tokens(), f.Transformer.PosEmbedSeqLen))
		m.Pass += held
	}

	return m, measureDecoder(f.VAE, &m)
}

// measureDecoder counts a whole latent frame, its first half and its first quarter. The first
// layers run on all of it, the others on the rows of a band and some around them.
func measureDecoder(cfg model.VAEConfig, m *job.Memory) error {
	decoder, err := vae.Load(&compute.Meter{}, cfg, model.Unread("vae", cfg.Shapes()))
	if err != nil {
		return fmt.Errorf("cannot measure the decoder: %w", err)
	}
	const h, w = 64, 8
	var bytes [3]float64
	for i, rows := range []int{h, h / 2, h / 4} {
		band, err := decoder.NewBand(h, w, partition.Range{Hi: rows})
		if err != nil {
			return fmt.Errorf("cannot measure the decoder: %w", err)
		}
		n, err := band.Bytes(3)
		if err != nil {
			return fmt.Errorf("cannot measure the decoder: %w", err)
		}
		bytes[i] = float64(n)
	}

	// Half as many rows more or less are the band's; what the whole takes beyond is the frame's.
	m.DecodeBand = (bytes[1] - bytes[2]) / (w * h / 4)
	m.DecodePlace = max(0, bytes[0]/(w*h)-m.DecodeBand)
	m.DecodeRows = max(0, (bytes[1]-m.DecodePlace*w*h)/(w*m.DecodeBand)-h/2)
	return nil
}

// line returns slope and offset of a line that has the value a at n, and b at 2n.
func line(n, a, b int64) (slope float64, offset int64) {
	return float64(b-a) / float64(n), max(0, 2*a-b)
}

// weightBytes returns the bytes of the packed weights that stay from one clip to the next; bytes
// says what a transformer's take.
func weightBytes(f *model.Folder, t compute.DType,
	bytes func(component string, t compute.DType) int64) int64 {
	n := int64(0)
	for _, expert := range stepExperts(f.Pipeline) {
		n += bytes(expert, t)
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
