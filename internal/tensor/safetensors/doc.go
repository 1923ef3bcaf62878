// Package safetensors reads and writes the safetensors format: eight bytes of header length, a JSON
// header with dtype, shape and offsets per tensor, then the tensors' bytes
// (https://huggingface.co/docs/safetensors).
//
// Files are mapped, not read, so opening one of many gigabytes costs next to nothing, and pages
// come into memory as tensors are used. Whatever the header claims is checked against the file
// before anything is handed out: sizes, offsets, overlaps and gaps, names that appear twice, and
// limits on everything that costs memory. Errors name the file, the tensor and, where it helps,
// what to do.
package safetensors
