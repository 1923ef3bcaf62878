// Package clip is the image encoder of Wan 2.1's image-to-video models, a CLIP vision transformer
// (Radford et al. 2021): patches of a picture, then layers of attention and feed-forward, each
// after a layer norm, with exact GELU. It reproduces transformers' CLIPImageProcessor, which makes
// the pixels, and CLIPVisionModel as diffusers' WanImageToVideoPipeline uses it: the pipeline takes
// the output of the last layer but one.
//
// A clip's pictures are encoded once, so the weights are loaded for that and then dropped. Products
// are in float32.
package clip
