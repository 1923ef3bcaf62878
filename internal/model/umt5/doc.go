// Package umt5 is the text encoder of Wan: the encoder half of UMT5 (Chung et al. 2023), a T5 with
// gated-GELU feed-forwards and a relative position bias of its own in every layer. It reproduces
// transformers' UMT5EncoderModel on the tokens of a prompt.
//
// Padding never enters it: the reference masks padding out, so that the embeddings of real tokens
// do not depend on it.
package umt5
