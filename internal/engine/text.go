package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// prompt is a text to encode, and the name of the part that keeps its embeddings.
type prompt struct{ text, part string }

// prompts lists what a branch follows: the conditional one has a prompt for each scene, the
// unconditional one the negative prompt.
func (r *run) prompts(b diffusion.Branch) []prompt {
	s := r.Plan.Spec
	part := job.PartText + strconv.Itoa(int(b))
	if b == diffusion.Unconditional {
		return []prompt{{s.NegativePrompt, part}}
	}
	if len(s.Scenes) == 0 {
		return []prompt{{s.Prompt, part}}
	}
	var all []prompt
	for i, c := range s.Scenes {
		all = append(all, prompt{c.Prompt, job.PartScene + strconv.Itoa(i)})
	}
	return all
}

// blendsKept bounds the blends of scenes that a branch keeps on the device: a window that is
// computed in every step usually finds its own.
const blendsKept = 16

// blend is a mixture of scenes as the transformer sees it.
type blend struct {
	weights []diffusion.Weight
	text    *wan.Text
}

// windowText returns what a branch follows in a window of latent frames: its prompt, or where there
// are scenes the blend of those that the window touches. The text is good until the next call.
func (r *run) windowText(branch diffusion.Branch, window partition.Range) (*wan.Text, error) {
	weights := []diffusion.Weight{{Scene: 0, Weight: 1}}
	if len(r.embeds[branch]) > 1 {
		weights = diffusion.Scenes(r.sceneStarts(), window.Lo, window.Hi, window.Len())
	}
	kept := r.blends[branch]
	for _, b := range kept {
		if slices.Equal(b.weights, weights) {
			return b.text, nil
		}
	}

	// The oldest makes room. No pass uses it: they run one after the other.
	if len(kept) == blendsKept {
		kept[0].text.Free()
		kept = slices.Delete(kept, 0, 1)
	}
	embeds := diffusion.BlendEmbeds(r.embeds[branch], r.e.folder.Transformer.TextDim, weights)
	text, err := r.e.dit.Text(embeds)
	if err == nil {
		kept = append(kept, blend{weights, text})
	}
	r.blends[branch] = kept
	return text, err
}

// freeBlends frees the device's memory that blends have. It may be called again.
func (r *run) freeBlends() {
	for _, kept := range r.blends {
		for _, b := range kept {
			b.text.Free()
		}
	}
}

// encodeTexts fills r.embeds with the embeddings of all prompts that this rank's branches follow.
func (r *run) encodeTexts(ctx context.Context) error {
	for i, b := range r.branches() {
		for scene, p := range r.prompts(b) {
			tag := collective.Tag{Step: uint32(scene), Op: op(opText, i)} //nolint:gosec // few
			embeds, err := r.shareEmbeds(ctx, tag, p)
			if err != nil {
				return err
			}
			r.embeds[b] = append(r.embeds[b], embeds)
		}
	}
	return nil
}

// shareEmbeds returns the embeddings of a prompt, [tokens, text_dim]: the first rank of the group
// encodes it, the others receive them.
func (r *run) shareEmbeds(ctx context.Context, tag collective.Tag, p prompt) ([]float32, error) {
	var own []byte
	if r.group.Rank() == 0 {
		embeds, err := r.encodePrompt(ctx, p)
		if err != nil {
			return nil, err
		}
		own = tensor.Bytes(embeds)
	}

	all, err := r.group.AllGather(ctx, tag, own)
	if err != nil {
		return nil, err
	}
	if n := len(all[0]); n == 0 || n%(4*r.e.folder.Transformer.TextDim) != 0 {
		return nil, r.badMessage(r.Rank-r.group.Rank(), "text", n)
	}
	embeds := tensor.Floats(all[0])
	return embeds, tensor.CheckFinite("the text embedding", embeds)
}

// encodePrompt cleans, tokenizes and encodes a prompt: [tokens, text_dim]. Embeddings that an
// earlier attempt has kept take the encoder's place. A prompt that is too long is cut off with a
// notice.
func (r *run) encodePrompt(ctx context.Context, p prompt) ([]float32, error) {
	ids, cut := r.e.tokenize(p.text)
	what := fmt.Sprintf("the prompt is longer than %d tokens; the rest was cut off", wan.TextTokens)
	if cut && !slices.Contains(r.notices, what) {
		r.notices = append(r.notices, what)
	}

	// A part with another number of tokens is not this prompt's.
	width := r.e.folder.Transformer.TextDim
	if kept := r.keptPart(ctx, p.part, len(ids)*width); kept != nil {
		return kept, nil
	}
	embeds, err := r.e.text.Encode(ids)
	if err == nil {
		err = tensor.CheckFinite("the text embedding", embeds)
	}
	if err == nil {
		r.keepInBackground(p.part, embeds, width)
	}
	return embeds, err
}

// sceneStarts returns where scenes begin, in latent frames.
func (r *run) sceneStarts() []float64 {
	s := r.Plan.Spec
	var starts []float64
	for _, c := range s.Scenes {
		starts = append(starts,
			diffusion.LatentTime(c.Start, float64(s.FPS), r.e.folder.VAE.TemporalScale()))
	}
	return starts
}
