// Package convert makes model folders from files in other layouts: those of Wan's own repositories,
// and ComfyUI's, whose single files may have a prefix on every name and weights of 8 bits with
// scales. Names are mapped to those of diffusers and transformers, configurations are derived from
// shapes, and weights are converted in pieces, so that a file of any size takes little memory.
package convert
