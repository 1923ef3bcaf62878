// Package tensor holds the host's view of numbers: element types, shapes and byte-backed tensors.
//
// Values are little-endian, as safetensors files and the wire have them. Devices keep their own
// memory (package compute); a Tensor is what is read from a file, sent to a peer or written out.
package tensor
