// Package target is servers that make videos, as a load generator sees them: something that takes a
// request, is busy for seconds or hours, and has a clip at the end. A Target speaks one dialect of
// HTTP and says of each clip when it was complete, what it cost and what came back, as far as the
// server tells.
//
// # Dialects
//
//	longtake     our own API: everything that a coordinator knows of a clip
//	videos       OpenAI's: POST /v1/videos, then polls; vLLM-Omni, SGLang, FastVideo
//	generations  POST /v1/videos/generations, answered when the clip is done; TensorRT-LLM, MLPerf
//	dynamo       POST /v1/videos, answered when the clip is done; NVIDIA Dynamo
//
// Servers that share a dialect still differ. What is known of them, from their sources:
//
//   - vLLM-Omni (vllm_omni/entrypoints/openai/api_server.py) reads forms alone. A text of seconds
//     has to be a whole number above 0; steps are up to 200, guidance up to 20. The object has
//     stage_durations, inference_time_s and peak_memory_mb. One that failed is answered with the
//     status that the failure would have in a synchronous request, its content with 422. DELETE
//     cancels, within two seconds.
//   - SGLang (multimodal_gen/runtime/entrypoints/openai/video_api.py) reads JSON, and a form
//     only with a picture in it. It takes unknown fields. DELETE forgets a clip, and makes it
//     nevertheless. FastVideo has the same routes.
//   - TensorRT-LLM (tensorrt_llm/serve/openai_video_routes.py) refuses unknown fields with 422. Its
//     states are queued, generating, postprocessing, completed and failed; an error is a text. The
//     answer that has the file in it says its times as Server-Timing. It has both /v1/videos and
//     /v1/videos/generations; the second is taken, as its end is seen at once.
//   - MLPerf's endpoints (mlcommons/endpoints, inference_endpoint/videogen/types.py) drive a
//     form of that with guidance_scale_2, latent_path, and response_format video_path or
//     video_bytes.
//   - Dynamo (components/src/dynamo/common/protocols/video_protocol.py) wants a model; all that is
//     about diffusion is in nvext. The file comes as a URL or as base64.
//
// # What is measured
//
// A latency ends when the clip is complete on the server, and never has the download in it: MLPerf
// counts so for videos, and the line between two machines says nothing of a server. How precisely
// it is known is Outcome.Resolution. Of a dialect that has to be polled it is the time between two
// polls, a hundredth of the clip's age: more of them would be a load on a server whose one event
// loop has other things to do, and fewer would hide differences of a percent.
//
// Times that a server tells are kept as stages, and do not take the place of what was measured:
// those of OpenAI's object are whole seconds, and inference_time_s leaves out the queue in one
// server and the file in another. Our own coordinator's are exact, and taken.
//
// A clip is compared with what was asked for: a server that makes fewer frames is faster, and its
// clips are errors of kind Wrong.
//
// # Trust
//
// A target trusts no server: answers and downloads have limits, videos are hashed on their way and
// never held in memory, and redirects take no key along to another host. It repeats only what makes
// no second clip (polls, downloads, and requests that were refused for their form), and counts
// that. It makes no schedule: a refusal (429, 503) is an error of kind Refused, and what to do
// about it is up to the caller.
package target
