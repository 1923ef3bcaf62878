// Package lora reads LoRA files for Wan's transformers and adds them to the weights.
//
// A LoRA (Hu et al. 2021) changes a weight W [out, in] by scale·B·A, with B [out, rank] and A
// [rank, in]. Open reads a file in any of the three layouts that are in use: of diffusers and PEFT,
// of Wan's own repositories and ComfyUI, and of kohya's trainers. It checks names, shapes and
// numbers against the architecture before anything is computed: a file may come from anywhere.
//
// A Set is a list of LoRAs with scales, as one clip uses them. It implements model.Overlay: weights
// are changed as they are taken from a folder, before they are packed, so that a step costs the
// same as without LoRAs.
//
// # Rounding
//
// A changed weight is float32, whatever type the folder has, and is computed as diffusers'
// fuse_lora computes it in float32: one term B[o,k]·A[k,i] after the other is added, each sum
// rounded once; the product is rounded, times the scale rounded, plus W rounded. The alpha of a
// file goes into A, in the type of the file, as diffusers does on conversion. So the layouts of one
// LoRA give the same bytes, and so do all processors. With dtype bf16 the sum is rounded once more,
// when it is packed.
package lora
