// Package safetensors reads and writes the safetensors format: eight bytes of header length, a JSON
// header with dtype, shape and offsets per tensor, then the tensors' bytes
// (https://huggingface.co/docs/safetensors). Files are mapped, not read; whatever the header claims
// is checked against the file before anything is handed out.
package safetensors
