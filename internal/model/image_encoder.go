package model

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// ImageEncoderConfig is the configuration of transformers' CLIPVisionModel, with its field names in
// Go's spelling. Wan 2.1's image-to-video models have a ViT-H/14.
type ImageEncoderConfig struct {
	HiddenSize        int     // width of an embedding
	IntermediateSize  int     // hidden width of the feed-forward
	NumHiddenLayers   int     // of which the transformer sees what the last but one makes
	NumAttentionHeads int     // HiddenSize is a multiple of it
	ImageSize         int     // pixels of each side
	PatchSize         int     // pixels of each side of a patch
	LayerNormEps      float32 // added to the variance in every norm
}

// Tokens returns the embeddings of a picture: one for each patch, and one for the whole.
func (c ImageEncoderConfig) Tokens() int {
	side := c.ImageSize / c.PatchSize
	return side*side + 1
}

// readImageEncoder reads image_encoder/config.json, with the defaults of CLIPVisionConfig.
func readImageEncoder(s *settings) ImageEncoderConfig {
	s.must("model_type", `"clip_vision_model"`)
	s.must("num_channels", "3")
	if s.must("hidden_act", `"gelu"`); s.raw["hidden_act"] == nil {
		s.fail("hidden_act", `"gelu"`) // the class's own default is another one
	}
	c := ImageEncoderConfig{
		HiddenSize:        s.int("hidden_size", 768, 1, widthLimit),
		IntermediateSize:  s.int("intermediate_size", 3072, 1, widthLimit),
		NumHiddenLayers:   s.int("num_hidden_layers", 12, 2, countLimit),
		NumAttentionHeads: s.int("num_attention_heads", 12, 1, countLimit),
		ImageSize:         s.int("image_size", 224, 1, 1<<12),
		PatchSize:         s.int("patch_size", 32, 1, 1<<12),
		LayerNormEps:      float32(s.float("layer_norm_eps", 1e-5, 0, 1)),
	}

	if c.HiddenSize%c.NumAttentionHeads != 0 {
		s.fail("num_attention_heads", fmt.Sprintf("a divisor of hidden_size, %d", c.HiddenSize))
	}
	if c.PatchSize > c.ImageSize {
		s.fail("patch_size", fmt.Sprintf("up to image_size, %d", c.ImageSize))
	}
	s.skip(unusedByImageEncoders...)
	return c
}

// unusedByImageEncoders are keys that transformers writes and an encoder does not read.
var unusedByImageEncoders = strings.Fields(`architectures attention_dropout dropout dtype
	initializer_factor initializer_range projection_dim torch_dtype transformers_version`)

// Shapes lists the weights of an image encoder under the names that transformers gives them.
func (c ImageEncoderConfig) Shapes() Shapes {
	d, s := c.HiddenSize, Shapes{}
	norm := func(name string) { s[name+".weight"], s[name+".bias"] = tensor.Shape{d}, tensor.Shape{d} }

	s["embeddings.class_embedding"] = tensor.Shape{d}
	s["embeddings.patch_embedding.weight"] = tensor.Shape{d, 3, c.PatchSize, c.PatchSize}
	s["embeddings.position_embedding.weight"] = tensor.Shape{c.Tokens(), d}
	norm("pre_layrnorm") // transformers' spelling
	for i := range c.NumHiddenLayers {
		at := fmt.Sprintf("encoder.layers.%d.", i)
		for _, q := range []string{"q_proj", "k_proj", "v_proj", "out_proj"} {
			s.linear(at+"self_attn."+q, d, d)
		}
		norm(at + "layer_norm1")
		norm(at + "layer_norm2")
		s.linear(at+"mlp.fc1", c.IntermediateSize, d)
		s.linear(at+"mlp.fc2", d, c.IntermediateSize)
	}
	norm("post_layernorm")
	return s
}

// ImageProcessorConfig is how a picture becomes the pixels that an image encoder sees: what
// transformers' CLIPImageProcessor does.
type ImageProcessorConfig struct {
	Edge      int        // pixels of the shorter side, once the picture is scaled
	Crop      int        // pixels of each side of what is cut out of its middle
	Factor    float64    // by which bytes are multiplied
	Mean, Std [3]float64 // of each channel, after that
}

// imageProcessorFile may be missing: the class has defaults for all of it.
const imageProcessorFile = "image_processor/preprocessor_config.json"

// readProcessor reads the settings of the image processor.
func (f *Folder) readProcessor() error {
	s, err := readSettings(f.fsys, imageProcessorFile)
	if errors.Is(err, fs.ErrNotExist) {
		s, err = &settings{file: imageProcessorFile, used: map[string]bool{}}, nil
	}
	if err != nil {
		return err
	}
	if f.ImageProcessor = readImageProcessor(s, f.ImageEncoder); s.err != nil {
		return s.err
	}
	return f.ignore(s)
}

// readImageProcessor reads the settings of a CLIPImageProcessor, with the defaults of the class. A
// processor that prepares pictures in another way is refused.
func readImageProcessor(s *settings, encoder ImageEncoderConfig) ImageProcessorConfig {
	for _, do := range []string{"do_resize", "do_center_crop", "do_rescale", "do_normalize"} {
		s.must(do, "true")
	}
	s.must("resample", "3") // Pillow's bicubic filter
	c := ImageProcessorConfig{Factor: s.float("rescale_factor", 1./255, 1e-6, 1)}

	var size struct {
		Edge int `json:"shortest_edge"`
	}
	size.Edge = 224

	s.take("size", &size, "a shortest_edge")
	var crop struct {
		Height int `json:"height"`
		Width  int `json:"width"`
	}
	crop.Height, crop.Width = 224, 224
	s.take("crop_size", &crop, "a height and a width")
	if want := encoder.ImageSize; crop.Height != want || crop.Width != want || size.Edge < want ||
		size.Edge > 1<<12 {
		s.fail("crop_size", fmt.Sprintf("height and width %d, the image encoder's image_size, and a "+
			"size no smaller", want))
	}

	c.Edge, c.Crop = size.Edge, crop.Height

	// Those of OpenAI's CLIP.
	number := func(v float64) bool { return v > -1e3 && v < 1e3 }
	c.Mean = [3]float64(list(s, "image_mean", []float64{0.48145466, 0.4578275, 0.40821073}, 3, number,
		"numbers"))
	c.Std = [3]float64(list(s, "image_std", []float64{0.26862954, 0.26130258, 0.27577711}, 3,
		func(v float64) bool { return v > 1e-6 && v < 1e3 }, "above 0"))
	s.skip(unusedByImageProcessors...)
	return c
}

// unusedByImageProcessors are keys that transformers writes and that change nothing here: pictures
// are RGB already, and what is done by which library is its own affair.
var unusedByImageProcessors = strings.Fields(`image_processor_type do_convert_rgb data_format
	default_to_square device disable_grouping do_pad pad_size input_data_format return_tensors
	feature_extractor_type processor_class crop_pct image_seq_length size_divisor`)

// withoutPrefix takes a prefix off the weights' names that transformers wrote before version 5, as
// in the folders that are published, and the numbers of positions that it wrote earlier still.
func (c *component) withoutPrefix() {
	const prefix = "vision_model."
	tensors := make(map[string]tensor.Tensor, len(c.tensors))
	for name, t := range c.tensors {
		if name = strings.TrimPrefix(name, prefix); name != "embeddings.position_ids" {
			tensors[name] = t
		}
	}
	c.tensors = tensors
}
