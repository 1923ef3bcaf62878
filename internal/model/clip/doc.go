// Package clip is the image encoder of Wan 2.1's image-to-video models, a CLIP vision transformer
// (Radford et al. 2021): patches of a picture, layers of attention and feed-forward before each of
// which a layer norm stands, exact GELU. It reproduces transformers' CLIPVisionModel as diffusers'
// WanImageToVideoPipeline uses it, which takes what the last layer but one makes, and
// CLIPImageProcessor, which makes the pixels.
//
// A clip is encoded once, so the weights are loaded for that and dropped. Products are of float32.
package clip
