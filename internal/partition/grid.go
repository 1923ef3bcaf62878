package partition

// Grid is a latent of T frames, H rows and W columns, cut into patches of PT x PH x PW that divide
// them. Tokens are the patches in (t, h, w) order, w fastest, as WanTransformer3DModel flattens
// them.
type Grid struct{ T, H, W, PT, PH, PW int }

// Tokens returns the number of patches.
func (g Grid) Tokens() int { return g.T / g.PT * (g.H / g.PH) * (g.W / g.PW) }

// Timeline cuts the grid's frames into windows that overlap. window and overlap are in latent
// frames, multiples of PT; window 0 makes a single window of the whole clip. uniform moves the
// seams from step to step.
func (g Grid) Timeline(window, overlap int, uniform bool) Timeline {
	return Timeline{Frames: g.T / g.PT, PerFrame: g.H / g.PH * (g.W / g.PW),
		Window: window / g.PT, Overlap: overlap / g.PT, Uniform: uniform}
}

// Coordinate returns the frame, row and column of a token, counted in patches.
func (g Grid) Coordinate(token int) (t, h, w int) {
	rows, cols := g.H/g.PH, g.W/g.PW
	return token / (rows * cols), token / cols % rows, token % cols
}
