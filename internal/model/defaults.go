package model

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"unicode/utf8"
)

// Defaults are the values that a clip gets where its request gives none: from longtake.json, or
// those of diffusers' WanPipeline.
type Defaults struct {
	Name           string    // for users; the folder's name without longtake.json
	FPS            float64   // frames per second; a fraction such as 24000/1001 as the nearest number
	Sizes          [][2]int  // width, height that the model was trained on; the first is the default
	Frames         int       // of a clip, not latent frames
	MaxFrames      int       // that a request may ask for; 0: no limit
	Steps          int       // of denoising
	GuidanceScale  float64   // of classifier-free guidance
	GuidanceScale2 float64   // of the second transformer's steps; 0: as that
	Window         int       // latent frames denoised together in a long clip; 0: all
	Overlap        int       // latent frames that two windows share
	Extend         bool      // whether the model was trained with given latents at timestep 0
	Causal         *Causal   // how a causal model makes clips; nil: it is none
	LatentRGB      LatentRGB // for previews of latents
	Preset         string    // name of a schedule that the model was distilled for; "": none
	LowerCase      bool      // whether the model knows prompts in lower case alone
	Words          []string  // that the model was trained on; none: unknown

	given map[string]bool // the keys that longtake.json gives
}

// readDefaults reads longtake.json, which may be missing. Null is as good as no value; an unknown
// key is an error, since only longtake reads the file.
func readDefaults(fsys fs.FS, name string) (Defaults, error) {
	// A folder straight from diffusers has no such file: everything is a default then.
	s, err := readSettings(fsys, "longtake.json")
	if errors.Is(err, fs.ErrNotExist) {
		s, err = &settings{used: map[string]bool{}}, nil
	}
	if err != nil {
		return Defaults{}, err
	}

	s.nullable = true
	d := Defaults{
		Name:           s.string("name", name),
		FPS:            s.float("fps", 16, 1, 120),
		Frames:         s.int("frames", 81, 1, 1<<20),
		MaxFrames:      s.int("max_frames", 0, 0, 1<<20),
		Steps:          s.int("steps", 50, 1, 1000),
		GuidanceScale:  s.float("guidance_scale", 5, 0, 100),
		GuidanceScale2: s.float("guidance_scale_2", 0, 0, 100),
		Window:         s.int("window", 0, 0, 1<<20),
		Overlap:        s.int("overlap", 0, 0, 1<<20),
		Extend:         s.bool("extend", false),
		Causal:         s.causal(),
		LatentRGB:      s.latentRGB(),
		Preset:         s.string("preset", ""),
		LowerCase:      s.bool("lower_case", false),
		Words:          s.words("words"),
		Sizes:          s.sizes("sizes", [2]int{832, 480}),
	}

	// A name ends up in lists and logs; an overlap has to leave the window something to add.
	if d.Name == "" || len(d.Name) > 256 {
		s.fail("name", "1 to 256 bytes")
	}
	if d.Overlap > 0 && d.Overlap >= d.Window {
		s.fail("overlap", fmt.Sprintf("less than the window of %d", d.Window))
	}

	// Null is as good as no value: fit then replaces the default.
	d.given = map[string]bool{}
	for k, v := range s.raw {
		d.given[k] = string(v) != "null"
	}
	return d, s.finish()
}

// words reads the list of words that the model was trained on.
func (s *settings) words(key string) []string {
	const most, bytes = 4096, 64
	allowed := fmt.Sprintf("a list of up to %d words of 1 to %d bytes", most, bytes)
	var words []string
	bad := func(w string) bool { return w == "" || len(w) > bytes || !utf8.ValidString(w) }
	if s.take(key, &words, allowed) && (len(words) > most || slices.ContainsFunc(words, bad)) {
		s.fail(key, allowed)
		return nil
	}
	return words
}

// TokensLimit bounds the tokens that are denoised at once, whatever the model: its latent and a
// rank's activations must fit into memory. 720p of 81 frames has 75,600 tokens.
const TokensLimit = 1 << 20

// fit changes the frames and the size that longtake.json does not give to ones that the model can
// make. WanPipeline's suit models with Wan's positions, patches and VAE; a smaller one gets the
// nearest below. expand says whether each token has a timestep of its own.
func (d *Defaults) fit(t TransformerConfig, v VAEConfig, expand bool) {
	// Models with a timestep for each token, Wan 2.2's TI2V, are trained on 24 frames a second.
	if expand && !d.given["fps"] {
		d.FPS = 24
	}

	// Frames: as many whole patches as there are positions in time.
	if !d.given["frames"] {
		latents := min(v.LatentFrames(d.Frames), t.RopeMaxSeqLen*t.PatchSize[0])
		if d.MaxFrames > 0 {
			latents = min(latents, v.LatentFrames(d.MaxFrames))
		}
		unit := t.PatchSize[0]
		if d.Causal != nil {
			unit = d.Causal.Block
		}
		latents = max(latents-latents%unit, unit)
		d.Frames = v.FramesBefore(latents)
	}
	if d.given["sizes"] {
		return
	}

	// Size: width and height shrink alike, to whole tokens, until each side has no more tokens than
	// positions, and a clip no more than TokensLimit.
	unit := [2]int{v.SpatialScale() * t.PatchSize[2], v.SpatialScale() * t.PatchSize[1]}
	want, tokens := d.Sizes[0], v.LatentFrames(d.Frames)/t.PatchSize[0]

	side := func(i int, scale float64) int { // in tokens
		return max(1, int(float64(want[i])*scale+1e-6)/unit[i])
	}

	scale := 1.0

	// Positions first: the longer side in tokens decides.
	for i := range 2 {
		scale = min(scale, float64(t.RopeMaxSeqLen*unit[i])/float64(want[i]))
	}

	// Then the number of tokens, in steps of 5 %, down to a width of a few pixels at most.
	const less = 0.95
	for tokens*side(0, scale)*side(1, scale) > TokensLimit && scale > less/float64(want[0]) {
		scale *= less
	}
	d.Sizes = [][2]int{{side(0, scale) * unit[0], side(1, scale) * unit[1]}}
}

// sizes reads a list of sizes in pixels, such as "832x480", width first.
func (s *settings) sizes(key string, def [2]int) [][2]int {
	const allowed = `a list of sizes such as "832x480"`

	// Sscanf alone would accept trailing text, so a word is put at the end and read back.
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
