package shard

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/tokenizer"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/tensor"
)

// prompt is a text to encode, and the part that keeps its embeddings.
type prompt struct{ text, part string }

// prompts lists what a branch follows: for the conditional one, a prompt for each scene.
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

// encodeTexts fills r.embeds, and r.texts with what the whole clip shows of them.
func (r *run) encodeTexts(ctx context.Context) error {
	for i, b := range r.branches() {
		for scene, p := range r.prompts(b) {
			tag := collective.Tag{Step: uint32(scene), Op: opText + uint32(i)<<20} //nolint:gosec // few
			embeds, err := r.shareText(ctx, tag, p)
			if err != nil {
				return err
			}
			r.embeds[b] = append(r.embeds[b], embeds)
		}
		var err error
		embeds := r.blend(b, 0, r.grid.T, r.grid.T)
		if r.texts[b], err = r.e.dit.Text(embeds); err != nil {
			return err
		}
	}
	return nil
}

// shareText returns the embeddings of a prompt: the first rank of the group encodes, the others
// receive.
func (r *run) shareText(ctx context.Context, tag collective.Tag, p prompt) ([]float32, error) {
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
		return nil, r.badMessage(r.Rank.Rank-r.group.Rank(), "text", n)
	}
	return tensor.Floats(all[0]), nil
}

// encodePrompt cleans, tokenizes and encodes: [tokens, text_dim]. An earlier attempt may have kept
// that.
func (r *run) encodePrompt(ctx context.Context, p prompt) ([]float32, error) {
	ids, cut := r.e.tokens.Encode(tokenizer.Clean(p.text), wan.TextTokens)
	what := fmt.Sprintf("the prompt is longer than %d tokens; the rest was cut off", wan.TextTokens)
	if cut && !slices.Contains(r.notices, what) {
		r.notices = append(r.notices, what)
	}
	width := r.e.folder.Transformer.TextDim
	if kept := r.part(ctx, p.part, len(ids)*width); kept != nil {
		return kept, nil
	}
	embeds, err := r.e.text.Encode(ids)
	if err == nil {
		r.keepBeside(p.part, embeds, width)
	}
	return embeds, err
}

// blend returns the embeddings that a branch follows in the latent frames [a, b) of a window: those
// of the scenes there, each by its share. The caller only reads them.
func (r *run) blend(branch diffusion.Branch, a, b, window int) []float32 {
	weights := []diffusion.Weight{{Scene: 0, Weight: 1}}
	if len(r.embeds[branch]) > 1 {
		weights = diffusion.Scenes(r.sceneStarts(), a, b, window)
	}
	return diffusion.BlendEmbeds(r.embeds[branch], r.e.folder.Transformer.TextDim, weights)
}

// sceneStarts returns where scenes begin, in latent frames.
func (r *run) sceneStarts() []float64 {
	s := r.Plan.Spec
	var starts []float64
	for _, c := range s.Scenes {
		starts = append(starts, diffusion.LatentTime(c.Start, s.FPS, r.e.folder.VAE.TemporalScale()))
	}
	return starts
}
