// Package torchsave reads files that PyTorch's torch.save has written of a single tensor.
//
// Such a file is a zip archive: data.pkl says in Python's pickle language how the tensor is put
// together, and data/0 has its values. A pickle is a program that may call any function of Python.
// Here nothing is ever called: the reader knows the few instructions that torch.save uses for a
// tensor, keeps numbers, texts and tuples, and takes the result only if it is the one call of
// torch._utils._rebuild_tensor_v2 with a storage of this file. All else is an error that says what
// it is.
//
// # The program
//
// What torch.save writes for a tensor, in the words of Python's pickletools:
//
//	GLOBAL torch._utils _rebuild_tensor_v2
//	  "storage" GLOBAL(torch FloatStorage) "0" "cpu" COUNT   BINPERSID   data/0, so many values
//	  OFFSET (SIZES) (STRIDES)                                            what of it is the tensor
//	  NEWFALSE                                                            it requires no gradient
//	  GLOBAL(collections OrderedDict) () REDUCE                           no hooks
//	REDUCE STOP
//
// Texts, tuples and names are also put into a memo (BINPUT), from which BINGET takes them again.
//
// # Limits
//
// A file has few entries, none compressed; a program has few bytes, and leaves no more values than
// it has instructions; the values have as many bytes as the caller allows. Checksums of the archive
// are compared.
//
// The format has been the same since PyTorch 1.6. Files of earlier versions are no archives, and
// are refused.
package torchsave
