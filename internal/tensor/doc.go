// Package tensor holds the host's view of numbers: element types, shapes and byte-backed tensors.
//
// Values are little-endian, as safetensors files and messages between ranks have them. Devices keep
// their own memory (package compute); a Tensor is what is read from a file, sent to a peer or
// written out. Finite and its relatives look for NaN and infinities at the speed of memory.
package tensor
