package partition

import (
	"math"
	"math/bits"
	"slices"
)

// Timeline cuts a clip into overlapping windows of frames, each denoised as if it were a clip of
// its own. A frame here is one of tokens, which is as many latent frames as a patch spans.
type Timeline struct {
	Frames, PerFrame int // frames of the clip, tokens of a frame
	Window, Overlap  int // frames of a window, and that neighbours share; Window 0: one window
	// Uniform moves the seams between windows from step to step, evenly over the stride, so that no
	// frame is at a seam for long (the "uniform" contexts of AnimateDiff-Evolved).
	Uniform bool
	// Extend makes the windows one after the other: each begins with the last Overlap frames of the
	// one before, and the first with those of the Given frames that exist already.
	Extend bool
	Given  int

	shiftsMost int // bounds what shifts lists, for estimates; 0: all
}

// Tokens returns the number of tokens of the whole clip.
func (t Timeline) Tokens() int { return t.Frames * t.PerFrame }

// TokensOf returns the tokens of a range of frames.
func (t Timeline) TokensOf(frames Range) Range {
	return Range{frames.Lo * t.PerFrame, frames.Hi * t.PerFrame}
}

// WindowTokens returns the number of tokens of one window, the longest where they differ.
func (t Timeline) WindowTokens() int { return t.window() * t.PerFrame }

// window returns the frames of a window: all of a clip that is no longer than one.
func (t Timeline) window() int {
	if t.Window <= 0 || t.Window >= t.Frames {
		return t.Frames
	}
	return t.Window
}

// Stride returns the frames between the beginnings of neighbouring windows.
func (t Timeline) Stride() int { return max(1, t.window()-t.Overlap) }

// shift returns by how many frames the seams of a step are moved back. It follows the van der
// Corput sequence, the step's bits mirrored behind the point: its values fill the stride evenly,
// and steps next to each other are far apart.
func (t Timeline) shift(step int) int {
	if !t.Uniform || step <= 0 {
		return 0
	}
	u := uint32(step) //nolint:gosec // steps are few
	part := float64(bits.Reverse32(u)) / (1 << 32)
	return int(math.Floor(part * float64(t.Stride())))
}

// Windows lists the windows of a step as ranges of frames, in order. All have the same length; the
// last is moved back so that it ends with the clip.
func (t Timeline) Windows(step int) []Range { return t.windows(t.shift(step)) }

// windows lists the windows for seams moved back by shift frames. The first window stays whole, so
// that moved seams may take one window more.
func (t Timeline) windows(shift int) []Range {
	if t.Extend {
		return t.extensions()
	}

	w := t.window()
	starts := []int{0}
	for at := t.Stride() - shift; at < t.Frames-w; at += t.Stride() {
		starts = append(starts, at)
	}

	if last := t.Frames - w; last > 0 {
		starts = append(starts, last)
	}

	out := make([]Range, len(starts))
	for i, a := range starts {
		out[i] = Range{a, a + w}
	}
	return out
}

// Count returns how many windows the first step has, or how many an extended clip is made of,
// without listing them.
func (t Timeline) Count() int {
	first := 0
	if t.Extend {
		first = max(0, t.Given-t.Overlap) // where the first one begins
	}
	left := t.Frames - first - t.window()
	if left <= 0 {
		return 1
	}
	return 1 + (left+t.Stride()-1)/t.Stride()
}

// extensions lists windows that are made one after the other. The last one may be shorter.
func (t Timeline) extensions() []Range {
	// The first takes its overlap from the frames that exist already.
	at := max(0, t.Given-t.Overlap)
	out := []Range{{at, min(t.Frames, at+t.window())}}
	for out[len(out)-1].Hi < t.Frames {
		at = out[len(out)-1].Hi - t.Overlap
		out = append(out, Range{at, min(t.Frames, at+t.window())})
	}
	return out
}

// Passed lists the windows that a clip made in one go would have before the first that this
// timeline makes. Their draws are passed over in the noise generator, so that both clips have the
// same noise.
func (t Timeline) Passed() []Range {
	first := t.extensions()[0].Lo
	t.Given = 0
	all := t.extensions()
	n := slices.IndexFunc(all, func(w Range) bool { return w.Lo >= first })
	if n < 0 {
		n = len(all)
	}
	return all[:n]
}

// Known returns how many frames at the beginning of a window exist before it is made, where windows
// are made one after the other.
func (t Timeline) Known(window int) int {
	w := t.extensions()[window]
	if window == 0 {
		return max(0, t.Given-w.Lo)
	}
	return t.Overlap
}

// shifts lists every shift that some step may have, or shiftsMost of them, evenly spread.
func (t Timeline) shifts() []int {
	if !t.Uniform || t.window() == t.Frames {
		return []int{0}
	}
	stride := t.Stride()
	n := stride
	if t.shiftsMost > 0 {
		n = min(n, t.shiftsMost)
	}
	out := make([]int, n)
	for i := range out {
		out[i] = i * (stride - 1) / max(1, n-1)
	}
	return out
}

// Fade returns the weights, one for each frame of window w, with which its velocities enter the
// blend with its neighbours': linear ramps over the overlap. Every window except the first gives
// its first frame weight 0, since the model takes a window's first latent frame for a still image,
// and denoises it unlike those after it.
func (t Timeline) Fade(w Range) []float32 {
	out := make([]float32, w.Len())
	for i := range out {
		out[i] = 1
	}
	n := min(t.Overlap, w.Len())
	if w.Lo > 0 {
		copy(out[:n], linspace(0, 1, n+1)[:n])
	}
	if w.Hi < t.Frames {
		copy(out[w.Len()-n:], linspace(1, 0, n+2)[1:n+1])
	}
	return out
}

// linspace returns n values from lo to hi in float32, each computed from the nearer end, as
// torch.linspace does.
func linspace(lo, hi float32, n int) []float32 {
	out := make([]float32, n)
	step := (hi - lo) / float32(max(1, n-1))
	for i := range out {
		if i < n/2 || n == 1 {
			out[i] = lo + float32(step*float32(i))
		} else {
			out[i] = hi - float32(step*float32(n-1-i))
		}
	}
	return out
}

// union merges ranges into sorted ones that neither overlap nor touch.
func union(all []Range) []Range {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b Range) int { return a.Lo - b.Lo })
	var out []Range
	for _, r := range sorted {
		if n := len(out); n > 0 && r.Lo <= out[n-1].Hi {
			out[n-1].Hi = max(out[n-1].Hi, r.Hi)
		} else if r.Len() > 0 {
			out = append(out, r)
		}
	}
	return out
}

// Cut returns the indexes that two ranges share; an empty range if there are none.
func (r Range) Cut(o Range) Range {
	lo, hi := max(r.Lo, o.Lo), min(r.Hi, o.Hi)
	return Range{lo, max(lo, hi)}
}

// Plus returns the range moved up by n.
func (r Range) Plus(n int) Range { return Range{r.Lo + n, r.Hi + n} }
