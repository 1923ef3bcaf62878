package model

import (
	"errors"
	"fmt"
	"io/fs"
)

// Defaults are what a clip gets where it is not said; from longtake.json, or as diffusers'
// WanPipeline has them.
type Defaults struct {
	Name          string
	FPS           int
	Sizes         [][2]int // width, height that the model was trained on; the first is the default
	Frames        int
	MaxFrames     int // 0: no limit
	Steps         int
	GuidanceScale float64
	Window        int  // latent frames denoised together in a long clip; 0: all
	Overlap       int  // of two windows
	Extend        bool // trained with given latents at timestep 0
	LatentRGB     LatentRGB
}

func readDefaults(fsys fs.FS, name string) (Defaults, error) {
	s, err := readSettings(fsys, "longtake.json")
	if errors.Is(err, fs.ErrNotExist) {
		s, err = &settings{used: map[string]bool{}}, nil
	}
	if err != nil {
		return Defaults{}, err
	}
	s.nullable = true
	d := Defaults{
		Name:          s.string("name", name),
		FPS:           s.int("fps", 16, 1, 120),
		Frames:        s.int("frames", 81, 1, 1<<20),
		MaxFrames:     s.int("max_frames", 0, 0, 1<<20),
		Steps:         s.int("steps", 50, 1, 1000),
		GuidanceScale: s.float("guidance_scale", 5, 0, 100),
		Window:        s.int("window", 0, 0, 1<<20),
		Overlap:       s.int("overlap", 0, 0, 1<<20),
		Extend:        s.bool("extend", false),
		LatentRGB:     s.latentRGB(),
		Sizes:         s.sizes("sizes", [2]int{832, 480}),
	}
	if d.Name == "" || len(d.Name) > 256 {
		s.fail("name", "1 to 256 bytes")
	}
	if d.Overlap > 0 && d.Overlap >= d.Window {
		s.fail("overlap", fmt.Sprintf("less than the window of %d", d.Window))
	}
	return d, s.finish()
}

// sizes reads a list of "WxH".
func (s *settings) sizes(key string, def [2]int) [][2]int {
	const allowed = `a list of sizes such as "832x480"`
	var texts []string
	if !s.take(key, &texts, allowed) {
		return [][2]int{def}
	}
	var out [][2]int
	for _, t := range texts {
		var w, h int
		var rest string
		n, _ := fmt.Sscanf(t+" end", "%dx%d %s", &w, &h, &rest)
		if n != 3 || rest != "end" || w < 1 || h < 1 || w > 1<<14 || h > 1<<14 {
			s.fail(key, allowed)
			break
		}
		out = append(out, [2]int{w, h})
	}
	if len(out) == 0 {
		s.fail(key, allowed)
	}
	return out
}
