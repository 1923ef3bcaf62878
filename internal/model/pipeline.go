package model

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// The classes of diffusers that a folder may be written for.
const (
	TextToVideo  = "WanPipeline"
	ImageToVideo = "WanImageToVideoPipeline"
	VideoToVideo = "WanVideoToVideoPipeline" // what WanPipeline has, less a second transformer
	Control      = "WanVACEPipeline"
)

// The classes of folders that other programs write for causal models: FastVideo's, and those that
// SGLang converts. Beside what WanPipeline has, the transformer says how it is causal.
const (
	causalPipeline    = "WanCausalDMDPipeline"
	forcingPipeline   = "CausalForcingPipeline"
	causalTransformer = "CausalWanTransformer3DModel"
	causalScheduler   = "SelfForcingFlowMatchScheduler"
)

// The folders of the two transformers that a model may have. The first one makes the steps with
// timesteps from the boundary on, the second one those below.
const (
	FirstExpert  = "transformer"
	SecondExpert = "transformer_2"
)

// ImageEncoder is the folder of the model that reads pictures for the transformer.
const ImageEncoder = "image_encoder"

// Pipeline is what model_index.json says beside the classes of the components.
type Pipeline struct {
	Class string // one of TextToVideo, ImageToVideo, VideoToVideo, Control
	// Experts lists the transformers that are there: FirstExpert, SecondExpert or both.
	Experts []string
	// Boundary is boundary_ratio: the part of the training timesteps from which on steps are those of
	// the first expert; nil: all steps are.
	Boundary *float64
	// ExpandTimesteps gives each token a timestep of its own, as Wan 2.2 TI2V-5B is trained.
	ExpandTimesteps bool
	// ImageEncoder tells whether there is a model that reads pictures for the transformer.
	ImageEncoder bool
	// Causal tells whether the folder is written for a causal model; Class is TextToVideo then.
	Causal bool
}

// Has reports whether the transformer of that folder is there.
func (p Pipeline) Has(expert string) bool { return slices.Contains(p.Experts, expert) }

// checkIndex reads model_index.json, which names the classes of the pipeline and its components.
func (f *Folder) checkIndex() error {
	s, err := readSettings(f.fsys, "model_index.json")
	if errors.Is(err, fs.ErrNotExist) {
		return f.noIndex()
	}
	if err != nil {
		return err
	}

	// An absent key must not pass for the default here: other pipelines leave some out, too.
	for _, key := range []string{"_class_name", "text_encoder", "vae"} {
		if s.raw[key] == nil {
			s.fail(key, "what WanPipeline writes")
		}
	}

	// Classes are compared as written: the library, then the class within it.
	s.must("_class_name", quoted(TextToVideo), quoted(ImageToVideo), quoted(VideoToVideo),
		quoted(Control), quoted(causalPipeline), quoted(forcingPipeline))
	s.must("text_encoder", `["transformers","UMT5EncoderModel"]`)
	s.must("vae", `["diffusers","AutoencoderKLWan"]`)
	s.must("scheduler", `["diffusers","UniPCMultistepScheduler"]`,
		`["diffusers","FlowMatchEulerDiscreteScheduler"]`,
		fmt.Sprintf(`["diffusers","%s"]`, causalScheduler))
	f.Pipeline = readPipeline(s)

	// A tokenizer of any class writes the same tokenizer.json, an image processor the same
	// preprocessor_config.json.
	s.skip("tokenizer", "image_processor")
	if s.err != nil {
		return s.err
	}
	return f.ignore(s)
}

// readPipeline reads what differs between the pipelines.
func readPipeline(s *settings) Pipeline {
	p := Pipeline{Class: s.string("_class_name", "")}
	class := "WanTransformer3DModel"
	switch p.Class {
	case Control:
		class = "WanVACETransformer3DModel"
	case causalPipeline, forcingPipeline:
		p.Class, p.Causal, class = TextToVideo, true, causalTransformer
	}
	for _, name := range []string{FirstExpert, SecondExpert} {
		if s.component(name, fmt.Sprintf(`["diffusers","%s"]`, class)) {
			p.Experts = append(p.Experts, name)
		}
	}
	if len(p.Experts) == 0 {
		s.fail(FirstExpert, "a transformer; there is no transformer_2 either")
	}

	// Steps below the boundary, or all of them, would have no transformer.
	var boundary float64
	if s.take("boundary_ratio", &boundary, "null, or 0 to 1") {
		p.Boundary = &boundary
		if !(boundary >= 0 && boundary <= 1) {
			s.fail("boundary_ratio", "null, or 0 to 1")
		}
	}
	if p.Boundary == nil && !p.Has(FirstExpert) {
		s.fail("boundary_ratio", "0 to 1 in a folder without transformer: all steps would be its")
	}

	p.ExpandTimesteps = s.bool("expand_timesteps", false)
	p.ImageEncoder = s.component(ImageEncoder, `["transformers","CLIPVisionModel"]`)
	if p.ImageEncoder && p.Class != ImageToVideo {
		s.fail(ImageEncoder, "null in "+p.Class)
	}
	return p
}

// component reports whether the index has a component, of one of these classes.
func (s *settings) component(name string, classes ...string) bool {
	v := s.raw[name]
	if v == nil || slices.Contains([]string{"null", "[null,null]"}, flat(v)) {
		s.skip(name)
		return false
	}
	s.must(name, classes...)
	return true
}

func quoted(s string) string { return `"` + s + `"` }

// checkTogether returns an error if the configurations of components do not fit each other.
func (f *Folder) checkTogether() error {
	t, z := f.Transformer, f.VAE.ZDim
	if e := f.TextEncoder.DModel; t.TextDim != e {
		return fmt.Errorf("the transformer's text_dim is %d, the text encoder's d_model %d", t.TextDim, e)
	}
	if t.OutChannels != z {
		return fmt.Errorf("the transformer's out_channels is %d, the VAE's z_dim %d", t.OutChannels, z)
	}

	// Image-to-video models see the latent, the mask of its frames that are given, and those frames.
	in := []int{z}
	if f.Pipeline.Class == ImageToVideo && !f.Pipeline.ExpandTimesteps {
		in = []int{z + f.VAE.TemporalScale() + z}
	}
	if !slices.Contains(in, t.InChannels) {
		return fmt.Errorf("the transformer's in_channels is %d; allowed: %d in a %s with a z_dim of %d",
			t.InChannels, in[0], f.Pipeline.Class, z)
	}
	// The control is the part of a video that stays, that which is made anew, and a mask of one
	// channel for each pixel of a place.
	if n := 2*z + f.VAE.SpatialScale()*f.VAE.SpatialScale(); len(t.VaceLayers) > 0 &&
		t.VaceInChannels != n {
		return fmt.Errorf("the transformer's vace_in_channels is %d; allowed: %d with this VAE",
			t.VaceInChannels, n)
	}
	if has := t.ImageDim > 0; has != f.Pipeline.ImageEncoder {
		return fmt.Errorf("the transformer's image_dim is %d; allowed: above 0 with an image_encoder in "+
			"model_index.json, and null without", t.ImageDim)
	}
	if e := f.ImageEncoder; f.Pipeline.ImageEncoder && t.ImageDim != e.HiddenSize {
		return fmt.Errorf("the transformer's image_dim is %d, the image encoder's hidden_size %d",
			t.ImageDim, e.HiddenSize)
	}
	if t.PosEmbedSeqLen > 0 && t.PosEmbedSeqLen != 2*f.ImageEncoder.Tokens() {
		return fmt.Errorf("the transformer's pos_embed_seq_len is %d; allowed: %d, the tokens of two "+
			"pictures", t.PosEmbedSeqLen, 2*f.ImageEncoder.Tokens())
	}
	return nil
}
