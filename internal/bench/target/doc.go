// Package target is servers that make videos, as a load generator sees them: something that takes a
// request, is busy for seconds or hours, and has a clip at the end. A Target speaks one dialect of
// HTTP and says of each clip when it was complete, what it cost and what came back, as far as the
// server tells.
//
// Dialects:
//
//	longtake     our own API: everything that a coordinator knows of a clip
//	videos       OpenAI's: POST /v1/videos, then polls; vLLM-Omni, SGLang, FastVideo
//	generations  POST /v1/videos/generations, answered when the clip is done; TensorRT-LLM, MLPerf
//	dynamo       POST /v1/videos, answered when the clip is done; NVIDIA Dynamo
//
// A latency ends when the clip is complete on the server, and never has the download in it: MLPerf
// counts so for videos, and the line between two machines says nothing of a server. How precisely
// it is known is Outcome.Resolution.
//
// A target trusts no server: answers and downloads have limits, and what comes back is compared
// with what was asked for. It repeats only what makes no second clip, and counts that. It makes no
// schedule: a refusal (429, 503) is an error of kind Refused, and what to do about it is up to the
// caller.
package target
