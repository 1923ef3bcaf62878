package diffusion

// Weight is the share of one scene, of a storyboard's, in what a window shows.
type Weight struct {
	Scene  int
	Weight float32 // above 0, up to 1
}

// LatentTime returns where a time of the clip, in seconds, lies on the axis of latent frames: the
// first latent frame stands for a single frame, each later one for scale frames.
func LatentTime(seconds, fps float64, scale int) float64 {
	frame := seconds * fps
	if frame < 1 {
		return frame
	}
	return 1 + (frame-1)/float64(scale)
}

// Scenes returns the scenes that the latent frames [a, b) show, in order, with weights that add up
// to 1. starts are the beginnings of scenes in latent frames, ascending; the first scene also
// covers all time before it.
//
// A scene's weight is the share of the interval of window frames around the centre of [a, b) that
// lies in the scene. From one scene to the next the weights thus change linearly, over the length
// of a window around the cut.
func Scenes(starts []float64, a, b, window int) []Weight {
	length := float64(max(window, 1))
	lo := float64(a+b)/2 - length/2

	past := func(start float64) float64 { return min(max((start-lo)/length, 0), 1) }
	var out []Weight
	from := 0.0

	for i := range starts {
		to := 1.0
		if i+1 < len(starts) {
			to = past(starts[i+1])
		}
		if w := float32(to - from); w > 0 {
			out = append(out, Weight{i, w})
		}
		from = max(from, to)
	}
	return out
}

// BlendEmbeds mixes the text embeddings of scenes, [tokens, dim] each. Shorter ones count as padded
// with zero rows, as the pipeline pads all of them, to the longest of those that have a weight. A
// scene that is alone is returned as it is; the caller must not change it.
func BlendEmbeds(embeds [][]float32, dim int, weights []Weight) []float32 {
	if len(weights) == 1 {
		return embeds[weights[0].Scene]
	}

	n := 0
	for _, w := range weights {
		n = max(n, len(embeds[w.Scene]))
	}

	// Zero rows add nothing, so that padding needs no copy.
	out := make([]float32, (n+dim-1)/dim*dim)
	for _, w := range weights {
		for i, v := range embeds[w.Scene] {
			out[i] += float32(w.Weight * v)
		}
	}
	return out
}
