// Package targettest has stand-ins of servers that make videos, for tests: they speak the dialects
// of package target as the genuine servers do, refuse what those refuse, take as long as they are
// told to, and fail in the ways that servers and networks have.
//
// A stand-in is strict where the genuine server is, so that a client which works here works there:
//
//   - vLLM-Omni's reads forms, and misses the prompt in JSON
//   - SGLang's reads JSON, and no form without a picture
//   - TensorRT-LLM's and MLPerf's refuse unknown fields, and each the other's response_format
//   - Dynamo's wants a model, and has numbers in nvext
//
// All refuse numbers that are texts in JSON, or outside the bounds that the servers have. Doc.go of
// package target says where that was read. Clips are MP4 files that say what they are and have no
// picture in them; they are made by so many slots at once, in the order in which those are free.
package targettest
