package plan

import (
	"fmt"

	"github.com/longtake/longtake/internal/job"
)

// Memory is what a clip needs on a shard, in bytes. Denoising and decoding follow each other, so
// that the larger of them counts, and little of the other one, unless the clip is decoded while it
// is made.
type Memory struct {
	Weights int64 // of the transformers and the decoder
	Expert  int64 // of these, those of a second transformer
	Denoise int64 // activations of a window, texts, and the rank's part of the latent
	Decode  int64 // of the rank's rows of a frame; a device that has less decodes them in bands
	// Together says that both are there at a time, as the clip is decoded while it is made.
	Together bool
}

// garbage is by how much a process exceeds what it uses: the garbage collector lets a twentieth of
// it wait, and the runtime keeps some of what is free. Measured on models of 280 and 650 MB, on one
// to eight shards, this brings the total within a tenth.
const garbage = 1.08

// waits is how much of the stage that has ended waits for the garbage collector while the other one
// takes its memory, at most: what shards let wait (package daemon). It shows on small models.
const waits = 12 << 20

// Total returns the most bytes that the clip needs at a time.
func (m Memory) Total() int64 {
	clip := max(m.Denoise, m.Decode) + min(m.Denoise, m.Decode, waits)
	if m.Together {
		clip = m.Denoise + m.Decode
	}
	return int64(garbage * float64(m.Weights+clip))
}

// Least returns the bytes below which the clip cannot be made: without what decoding adapts to, and
// with one transformer at a time.
func (m Memory) Least() int64 {
	return int64(garbage * float64(m.Weights-m.Expert+m.Denoise))
}

// String tells people what the total is made of.
func (m Memory) String() string {
	expert := ""
	if m.Expert > 0 {
		expert = fmt.Sprintf(" (%s with one transformer at a time)", Bytes(m.Weights-m.Expert))
	}
	return fmt.Sprintf("weights %s%s, denoising %s, decoding %s", Bytes(m.Weights), expert,
		Bytes(m.Denoise), Bytes(m.Decode))
}

const (
	float32Bytes = 4

	// tokenBytes is about how many bytes of a prompt make a token, and textTokens the most tokens that
	// a prompt is cut off at.
	tokenBytes = 3
	textTokens = 512
)

// MemoryOf returns what the first rank of a mesh needs for a clip.
func MemoryOf(m job.Model, s job.Spec, mesh job.Mesh) Memory {
	load, c := Load(m, s), m.Cost.Memory
	u, width := float64(mesh.Ulysses), float64(load.TokenWidth)

	// A pass over one window, and what ranks that share it exchange: q, k, v and the output of their
	// heads, in the type of products, on the way out and in.
	tokens := float64(load.WindowTokens())
	own := tokens / u
	pass := float64(c.Pass) + c.PassToken*own
	if mesh.Ulysses > 1 {
		pass += c.PassShared * own // of all tokens, for a part of the heads
		pass += own * float64(m.Heads*m.HeadDim*load.ElementBytes) * 2 * 3 * (u - 1) / u
	}

	if s.Causal != nil { // keys and values of the rank's heads, in every layer
		d := float64(m.Heads * m.HeadDim)
		pass += 2 * float64(keys(m, s, load)*m.Layers) * d / u * float32Bytes
	}

	// The latent of the windows that the rank holds, with its copies.
	windows := float64(load.Passes()) / float64(mesh.Windows())
	if s.Guided() {
		windows /= 2
	}
	clip := float64(m.Tokens(s.Frames, s.Height, s.Width))
	held := min(clip, windows*tokens) / u * width
	latent := float32Bytes * (held*job.CopiesHeld + tokens*width)

	// What the transformer takes beside the latent, in a single copy.
	latent += float32Bytes * held * float64(m.Takes.Condition) / float64(m.LatentChannels)

	// What blocks added to each token in each pass of a step, for steps that are skipped.
	if s.StepCache > 0 {
		passes := float64(load.Passes()) / float64(mesh.Windows()*mesh.CFG)
		pass += float32Bytes * passes * own * float64(m.Heads*m.HeadDim)
	}

	// Each branch that the rank computes keeps its text.
	text := tokensOf(s.Prompt)
	for _, scene := range s.Scenes {
		text = max(text, tokensOf(scene.Prompt))
	}
	if s.Guided() {
		text += tokensOf(s.NegativePrompt)
		text /= float64(mesh.CFG)
	}

	const perPixel = 3 * 3 // values: decoded, on its way to the encoder, and in bytes
	frames := float64(s.Width*s.Height*m.TemporalScale) * perPixel * float32Bytes
	if s.Causal != nil {
		mesh = job.Mesh{CFG: 1, Ulysses: 1} // the first rank alone decodes
	}
	weights, expert := c.WeightsOf(s)
	return Memory{Weights: weights, Expert: expert, Together: s.Causal != nil,
		Denoise: int64(pass + latent + c.TextToken*text),
		Decode:  int64(decoding(m, s, mesh) + frames)}
}

// decoding returns what the decoder takes of a rank: ranks share the rows of a frame.
func decoding(m job.Model, s job.Spec, mesh job.Mesh) float64 {
	c, h, w := m.Cost.Memory, s.Height/m.SpatialScale, float64(s.Width/m.SpatialScale)
	rows, n := float64(h), min(mesh.Size(), h)
	if n > 1 {
		ends := float64(min(n-1, 2)) // where the band ends within the frame
		rows = min(rows, rows/float64(n)+ends*c.DecodeRows)
	}
	return w * (c.DecodePlace*float64(h) + c.DecodeBand*rows)
}

// tokensOf returns about how many tokens a prompt has.
func tokensOf(prompt string) float64 { return float64(min(textTokens, len(prompt)/tokenBytes+2)) }
