package sparse

import (
	"strconv"
	"strings"
)

// Allowed is what Parse reads, in words.
const Allowed = "off, window:FRAMES (such as window:3, 1 to 1024), radial"

// framesMost bounds the frames of a window; clips have no more.
const framesMost = 1024

// Pattern is a way to leave tokens out. The zero Pattern leaves out none.
type Pattern struct {
	// Window is how many token frames before its own and after it a token attends to; 0: no window.
	Window int
	// Radial narrows what a token attends to in frames further away (Li et al., "Radial Attention",
	// 2025).
	Radial bool
}

// Parse reads a pattern as a request has it; "" is off. It reports whether the text is one.
func Parse(text string) (Pattern, bool) {
	switch text {
	case "", "off":
		return Pattern{}, true
	case "radial":
		return Pattern{Radial: true}, true
	}
	frames, ok := strings.CutPrefix(text, "window:")
	n, err := strconv.Atoi(frames)
	if !ok || err != nil || n < 1 || n > framesMost || strconv.Itoa(n) != frames {
		return Pattern{}, false
	}
	return Pattern{Window: n}, true
}

// Off reports whether p leaves out nothing.
func (p Pattern) Off() bool { return p == Pattern{} }

// DenseLayers is how many of the first layers attend to all tokens, as in the papers on both
// patterns: the attention of these layers is spread out.
const DenseLayers = 1

// Dense reports whether all of step number i, from 0, of a clip attends to all tokens. The first
// quarter of the steps does, and the first in any case: they decide on the composition (a quarter
// in Radial Attention, 12 to 15 of 50 in Sliding Tile Attention, Zhang et al. 2025).
func Dense(i, steps int) bool { return i < (steps+3)/4 }
