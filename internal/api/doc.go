// Package api is the HTTP face of a coordinator and its client.
//
// The videos routes are those of OpenAI's Videos API, in its shapes, with the fields beside it that
// other servers of open models use (num_frames, num_inference_steps, guidance_scale, seed ...):
//
//	POST   /v1/videos               create (JSON or multipart/form-data; Idempotency-Key);
//	                                input_reference: a picture or latents that it starts from;
//	                                docs/api.md has all fields
//	GET    /v1/videos               list (limit, after, order)
//	GET    /v1/videos/{id}          status
//	DELETE /v1/videos/{id}          cancel if need be, then forget
//	GET    /v1/videos/{id}/content  the file, or a part of it (variant=video, thumbnail,
//	                                spritesheet, preview, partial, latents)
//	POST   /v1/videos/{id}/remix    the same request with another prompt
//	POST   /v1/videos/{id}/extensions
//	                                a longer clip that goes on from a completed one (JSON; what is
//	                                left out is as there; seconds, num_frames: what is added)
//	POST   /v1/videos/extensions    likewise, of the video {"id": ...} that the body names
//	POST   /v1/videos/sync          create, wait, and send the file
//	POST   /v1/videos/{id}/cancel   stop it; until its shards have, it is "cancelling"
//	POST   /v1/videos/{id}/retry    queue the same again
//	GET    /v1/videos/{id}/events   status as server-sent events, until it is final
//	POST   /v1/nodes/{name}/drain   no new work, hand over what runs (within: seconds, default 60)
//	POST   /v1/nodes/{name}/undrain let it work again
//	POST   /v1/cluster/members      add a coordinator: {"id", "raft_address", "http_address"};
//	                                it has to answer, and votes once it has caught up
//	DELETE /v1/cluster/members/{id} take one out; ?force=true even if no majority is in reach then
//	POST   /v1/cluster/transfer     hand the leadership over (to: an id)
//	GET    /v1/cluster/snapshot     all that was decided, without the objects
//	POST   /v1/cluster/snapshot     replace it by a saved one
//	GET    /v1/models, /v1/models/{id}, /v1/nodes, /v1/cluster
//	GET    /livez, /readyz (also /health), /metrics
//
// Requests are read leniently where clients of other servers differ: see fields.go for the fields
// that are taken, refused or left out with a notice, reference.go for what a clip may start from.
//
// What OpenAI's object has no field for is under "longtake". A follower answers with a redirect
// (307) to the leader.
package api
