package job

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// timesSigns are what people write between a width and a height.
const timesSigns = "xX*×"

// SizesAllowed says which sizes can be read, for errors.
const SizesAllowed = "WIDTHxHEIGHT in pixels, such as 832x480, or 480p or 720p"

// sizeNames are the names of sizes that Wan's own pages use. Their 480p is not the 854x480 of
// television, as models make sides of 16 pixels.
var sizeNames = map[string][2]int{"480p": {832, 480}, "720p": {1280, 720}}

// ParseSize reads a size in pixels as people write it: 832x480, 832*480, 832 x 480, or a name such
// as 480p. It looks at no model: sides may be too large for any, and are of no unit.
func ParseSize(text string) (width, height int, ok bool) {
	width, height, _, ok = readSize(text)
	return width, height, ok
}

// Names are those of people and not of the API of OpenAI, which has pixels alone. They are taken
// for the size that a model can make, as nobody who writes 720p means that a clip of 704 lines be
// refused; a size in pixels is what it says, and is refused where a model cannot make it.

// readSize reads a size, and says whether it was said by its name.
func readSize(text string) (width, height int, named, ok bool) {
	if size, named := sizeNames[strings.ToLower(strings.TrimSpace(text))]; named {
		return size[0], size[1], true, true
	}
	i := strings.IndexAny(text, timesSigns)
	if i < 0 {
		return 0, 0, false, false
	}
	width, err := ParseInt(text[:i])
	height, err2 := ParseInt(strings.TrimLeft(text[i:], timesSigns))
	return width, height, false, err == nil && err2 == nil
}

// Settle returns r with Size said as Width and Height, and Seconds as Frames at its rate, or at
// m's. Neither is left, so settling twice changes nothing. A size or a duration that cannot be
// read, or that contradicts another field, comes back as a *FieldError.
func (r Request) Settle(m Model) (Request, error) {
	if err := r.settleSize(m); err != nil {
		return r, err
	}
	err := r.settleSeconds(m)
	return r, err
}

func (r *Request) settleSize(m Model) error {
	if r.Size == "" {
		return nil
	}
	w, h, named, ok := readSize(r.Size)
	if !ok {
		return &FieldError{"size", quote(r.Size), SizesAllowed}
	}
	if named {
		// TI2V-5B makes sides of 32 pixels and calls 1280x704 its 720p.
		unit := m.SpatialScale * m.Patch[1]
		w, h = w-w%max(1, unit), h-h%max(1, unit)
	}

	if r.Width != nil && *r.Width != w || r.Height != nil && *r.Height != h {
		return &FieldError{"size", quote(r.Size) + ", and width or height say otherwise",
			"one way to say it"}
	}
	r.Width, r.Height, r.Size = &w, &h, ""
	return nil
}

// settleSeconds picks the number of frames of a duration: the first one, and those that follow. A
// rate that is not allowed is for Resolve to refuse.
func (r *Request) settleSeconds(m Model) error {
	if r.Seconds == nil {
		return nil
	}
	length := *r.Seconds
	r.SecondsAsked = cmp.Or(r.SecondsAsked, strconv.FormatFloat(length, 'f', -1, 64))
	r.Seconds = nil
	fps := m.Defaults.FPS
	if r.FPS != nil {
		fps = *r.FPS
	}
	if !(fps > 0 && fps <= FPSLimit) {
		return nil
	}

	frames := length * float64(fps)
	if !(frames > 0 && math.Round(frames) < FramesLimit) {
		return &FieldError{"seconds", r.SecondsAsked,
			fmt.Sprintf("above 0, and up to %d frames", FramesLimit)}
	}
	n := int(math.Round(frames)) + 1
	if r.Frames != nil {
		if math.Abs(float64(*r.Frames)-frames) > 1 {
			return &FieldError{"seconds", fmt.Sprintf("%s, which are %d frames, and num_frames is %d",
				r.SecondsAsked, n, *r.Frames), "one of them, or both alike"}
		}
		n = *r.Frames
	}
	r.Frames = &n
	return nil
}

// Extend returns r for a clip of model m that goes on from its start: a latent of frames of w x h
// pixels. What r says of the length is what is added, and comes back as the frames of the whole
// clip. Another size than the latent's, and nothing to add, is a *FieldError.
func (r Request) Extend(m Model, w, h int) (Request, error) {
	bySeconds := r.Seconds != nil
	r, err := r.Settle(m)
	if err != nil {
		return r, err
	}
	if r.Width != nil && *r.Width != w || r.Height != nil && *r.Height != h {
		return r, &FieldError{"size", "not that of the clip it extends",
			fmt.Sprintf("%dx%d, or leave it out", w, h)}
	}
	r.Width, r.Height = &w, &h

	added := m.Defaults.Frames - 1
	if r.Frames != nil {
		added = *r.Frames
	}
	if bySeconds && r.Frames != nil {
		added-- // a duration counts the first frame of a clip, which is there already
	}
	r.SecondsAsked = "" // of what is added, not of the clip
	start, _ := inputOf(r.Inputs, RoleStart)
	given := start.Latents
	if added < 1 || added > FramesLimit || given < 1 || given > FramesLimit {
		return r, &FieldError{"num_frames", number(added),
			fmt.Sprintf("1 to %d to be added", FramesLimit)}
	}
	n := m.frames(given) + added
	r.Frames = &n
	return r, nil
}
