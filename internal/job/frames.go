package job

import "fmt"

// framesAtOnce is how many frames can be denoised as a whole, as far as MaxTokens allows.
func (m Model) framesAtOnce() int {
	top := FramesLimit
	if m.Defaults.MaxFrames > 0 {
		top = min(top, m.Defaults.MaxFrames)
	}
	if m.MaxPositions > 0 {
		top = min(top, (m.MaxPositions*m.Patch[0]-1)*m.TemporalScale+1)
	}
	return top
}

// framesTop is the most frames of a clip. Blocks of a causal one have the positions of the whole
// clip, of which the model knows so many.
func (m Model) framesTop(s Spec) int {
	if m.inBlocks(s) {
		m.Defaults.MaxFrames = 0 // of what is denoised at once
		return m.framesAtOnce()
	}
	if m.Defaults.Window > 0 {
		return FramesLimit
	}
	return m.framesAtOnce()
}

// snap is nearest for a clip that is not made in blocks.
func (m Model) snap(n int) int { return m.nearest(Spec{Frames: n}) }

// nearest returns the count nearest to the spec's that the model makes, the larger one of two: as
// many latent frames as patches or blocks tile, each of TemporalScale frames but the first. One out
// of the limits stays.
func (m Model) nearest(s Spec) int {
	n, unit, top := s.Frames, m.TemporalScale*m.Patch[0], m.framesTop(s)
	if m.inBlocks(s) {
		unit = m.TemporalScale * m.Causal.Block
	}
	least := unit - m.TemporalScale + 1
	if n < 1 || n > top || least > top {
		return n
	}
	near := least + max(0, (2*(n-least)+unit)/(2*unit))*unit
	if near > top {
		near -= unit
	}
	return near
}

// checkFrames wants a count that the model can make, within the limits.
func (m Model) checkFrames(s Spec) error {
	top := m.framesTop(s)
	if s.Frames < 1 || s.Frames > top || (s.Frames-1)%m.TemporalScale != 0 {
		return &FieldError{"num_frames", number(s.Frames), fmt.Sprintf("1 to %d", top)}
	}
	if n := m.Tokens(s.Frames, s.Height, s.Width); n > ClipTokensLimit {
		return &FieldError{"num_frames x size", fmt.Sprintf("%d tokens", n),
			fmt.Sprintf("up to %d tokens, so fewer frames or a smaller size", ClipTokensLimit)}
	}
	return nil
}
