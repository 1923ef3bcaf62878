package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// prompts lists what a branch follows: the conditional one has a prompt for each scene, the
// unconditional one the negative prompt.
func (r *run) prompts(b diffusion.Branch) []string {
	s := r.Plan.Spec
	if b == diffusion.Unconditional {
		return []string{s.NegativePrompt}
	}
	if len(s.Scenes) == 0 {
		return []string{s.Prompt}
	}
	var all []string
	for _, c := range s.Scenes {
		all = append(all, c.Prompt)
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
	for i, kept := range r.blends {
		for _, b := range kept {
			b.text.Free()
		}
		r.blends[i] = nil
	}
}

// texts lists the prompts of both branches, the conditional one's first.
func (r *run) texts() []string {
	texts := r.prompts(diffusion.Conditional)
	if r.Plan.Spec.Guided() {
		texts = append(texts, r.prompts(diffusion.Unconditional)...)
	}
	return texts
}

// encodeTexts fills r.embeds with the embeddings of all prompts that this rank's branches follow.
// The first rank of the job encodes those of both branches, since the text encoder is read from the
// disk for it, and the others receive them.
func (r *run) encodeTexts(ctx context.Context) error {
	texts := r.texts()
	ids := r.tokenize(texts)
	own := make([][]float32, len(ids))
	if r.Rank == 0 {
		var err error
		if own, err = r.encode(ctx, texts, ids); err != nil {
			return err
		}
	}

	for i, text := range ids {
		tag := collective.Tag{Step: uint32(i), Op: opText} //nolint:gosec // few
		n := len(text) * r.e.folder.Transformer.TextDim
		embeds, err := r.shareFirst(ctx, tag, own[i], n, "text")
		if err != nil {
			return err
		}
		if err := tensor.CheckFinite("the text embedding", embeds); err != nil {
			return err
		}

		b := diffusion.Conditional
		if i >= len(r.prompts(b)) {
			b = diffusion.Unconditional
		}
		if slices.Contains(r.branches(), b) {
			r.embeds[b] = append(r.embeds[b], embeds)
		}
	}
	return nil
}

// tokenize cleans and tokenizes texts. One that is too long is cut off with a notice.
func (r *run) tokenize(texts []string) (ids [][]int32) {
	what := fmt.Sprintf("the prompt is longer than %d tokens; the rest was cut off", wan.TextTokens)
	for _, text := range texts {
		own, cut := r.e.tokenize(text)
		if cut && !slices.Contains(r.notices, what) {
			r.notices = append(r.notices, what)
		}
		ids = append(ids, own)
	}
	return ids
}

// encode returns the embeddings of each text's token ids, [len(ids), text_dim]: those that a cache
// has, and the others from the text encoder.
func (r *run) encode(ctx context.Context, texts []string, ids [][]int32) ([][]float32, error) {
	embeds, missing := make([][]float32, len(ids)), [][]int32(nil)
	for i, own := range ids {
		if embeds[i] = r.cachedEmbeds(ctx, texts[i], own); embeds[i] == nil {
			missing = append(missing, own)
		}
	}

	// All in one pass over the layers.
	made, err := r.e.text.Encode(ctx, missing)
	if err != nil {
		return nil, err
	}

	for i, own := range ids {
		if embeds[i] != nil {
			continue
		}
		embeds[i], made = made[0], made[1:]
		if err := tensor.CheckFinite("the text embedding", embeds[i]); err != nil {
			return nil, err
		}
		r.keepEmbeds(texts[i], own, embeds[i])
	}
	return embeds, nil
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
