package partition

import (
	"math"
	"math/bits"
	"slices"
)

// Timeline cuts a clip into overlapping windows of frames, each denoised as if it were a clip of
// its own. All counts are of token frames: one is as many latent frames as a patch spans.
type Timeline struct {
	Frames, PerFrame int // of the clip; tokens of a frame
	Window, Overlap  int // frames of a window, and of two neighbours; Window 0: no windows
	// Uniform moves the seams from step to step, evenly over the stride, so that no frame is at a
	// seam for long (the "uniform" contexts of AnimateDiff-Evolved).
	Uniform bool
	// Extend makes the windows one after the other: each begins with the last Overlap frames of the
	// one before, the first with those of Given frames that are there already.
	Extend bool
	Given  int

	shiftsMost int // of those that shifts lists; 0: all
}

// Tokens returns those of the whole clip.
func (t Timeline) Tokens() int { return t.Frames * t.PerFrame }

// TokensOf returns the tokens of some frames.
func (t Timeline) TokensOf(frames Range) Range {
	return Range{frames.Lo * t.PerFrame, frames.Hi * t.PerFrame}
}

// WindowTokens returns those of one window, the longest where they differ.
func (t Timeline) WindowTokens() int { return t.window() * t.PerFrame }

func (t Timeline) window() int {
	if t.Window <= 0 || t.Window >= t.Frames {
		return t.Frames
	}
	return t.Window
}

// Stride returns the frames from the beginning of a window to that of the next.
func (t Timeline) Stride() int { return max(1, t.window()-t.Overlap) }

// shift returns by how many frames the seams of a step are moved back: the van der Corput sequence,
// whose values are far from their neighbours.
func (t Timeline) shift(step int) int {
	if !t.Uniform || step <= 0 {
		return 0
	}
	u := uint32(step) //nolint:gosec // steps are few
	part := float64(bits.Reverse32(u)) / (1 << 32)
	return int(math.Floor(part * float64(t.Stride())))
}

// Windows lists the windows of a step as ranges of frames, by their beginnings. All are of one
// length; the last is moved back so that it ends with the clip.
func (t Timeline) Windows(step int) []Range { return t.windows(t.shift(step)) }

func (t Timeline) windows(shift int) []Range {
	if t.Extend {
		return t.blocks()
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

// count returns how many windows the first step has, without listing them.
func (t Timeline) count() int {
	if t.Extend {
		return len(t.blocks())
	}
	left := t.Frames - t.window()
	if left <= 0 {
		return 1
	}
	return 1 + (left+t.Stride()-1)/t.Stride()
}

// blocks lists windows that are made one after the other; the last one may be shorter.
func (t Timeline) blocks() []Range {
	at := max(0, t.Given-t.Overlap)
	out := []Range{{at, min(t.Frames, at+t.window())}}
	for out[len(out)-1].Hi < t.Frames {
		at = out[len(out)-1].Hi - t.Overlap
		out = append(out, Range{at, min(t.Frames, at+t.window())})
	}
	return out
}

// Passed lists the windows before the first one that is made, of the clip that is made in one go:
// what they have drawn of a generator is passed over, so that both have the same noise.
func (t Timeline) Passed() []Range {
	first := t.blocks()[0].Lo
	t.Given = 0
	all := t.blocks()
	n := slices.IndexFunc(all, func(w Range) bool { return w.Lo >= first })
	if n < 0 {
		n = len(all)
	}
	return all[:n]
}

// Known returns how many frames at the beginning of a window are there before it is made, where
// windows are made one after the other.
func (t Timeline) Known(window int) int {
	w := t.blocks()[window]
	if window == 0 {
		return max(0, t.Given-w.Lo)
	}
	return t.Overlap
}

// shifts lists every shift that some step may have, or as many of them as are asked for, evenly.
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

// Fade returns the weights of a window's frames [w.Len()] in the blend with its neighbours: linear
// ramps over the overlap. The first frame of a later window counts nothing, since the model takes
// it for a still image.
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

// union merges ranges into sorted ones that do not touch.
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

// Cut returns what two ranges share; empty where they do not meet.
func (r Range) Cut(o Range) Range {
	lo, hi := max(r.Lo, o.Lo), min(r.Hi, o.Hi)
	return Range{lo, max(lo, hi)}
}

// Plus moves a range by n.
func (r Range) Plus(n int) Range { return Range{r.Lo + n, r.Hi + n} }
