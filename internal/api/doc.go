// Package api is the HTTP face of a coordinator and its client.
//
// The videos routes are those of OpenAI's Videos API, in its shapes, with the further fields that
// other servers of open models use (num_frames, num_inference_steps, guidance_scale, seed ...):
//
//	POST   /v1/videos               create (JSON or multipart/form-data; Idempotency-Key);
//	                                input_reference: a picture or latents that it starts from;
//	                                docs/api.md has all fields
//	POST   /v1/videos/estimate      what a create would take and cost; nothing is queued
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
//	POST   /v1/videos/generations   create, wait, and answer with the file's path or its bytes,
//	                                where http.generations turns it on
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
//	GET    /v1/quota                what the client may have, and has of it
//	GET    /v1/keys, /v1/keys/{name}
//	POST   /v1/keys                 make a key; the answer has its text
//	POST   /v1/keys/{name}          change its team, scopes, quota or end
//	POST   /v1/keys/{name}/rotate   give it another text (overlap: seconds)
//	DELETE /v1/keys/{name}          revoke it
//	GET    /v1/teams                the teams that have quotas
//	POST   /v1/teams/{name}         give one its quota
//	DELETE /v1/teams/{name}         take it away
//	GET    /v1/rollout, /v1/rollout/{name}
//	POST   /v1/rollout/{name}       say who may use a model or a feature
//	DELETE /v1/rollout/{name}       open it to everybody
//	GET    /v1/audit                entries of the audit log (from, to, actor, action), a line each
//	GET    /v1/audit/status         where it stands on this coordinator
//	GET    /v1/usage                what jobs have used and cost (by, from, to, format=csv)
//	GET    /v1/models, /v1/models/{id}, /v1/nodes, /v1/cluster
//	GET    /livez, /readyz (also /health), /metrics
//
// # What a request passes
//
// A connection is counted by gate, which always has room for a probe. guard gives the request an id
// and refuses what comes from a page of another origin, or under a name that is none of ours. wrap
// finds out who asks and whether that may (auth.go; each route in route.go names its scope), takes
// a place among the requests at once, sets deadlines for the body and for each piece of the answer,
// and logs and counts the request when it is answered. Then the handler of the route runs; an error
// that it returns becomes an answer in explain.
//
// # How bodies are read
//
// A body is JSON or a form. Both become values with names, which request.set takes: fields of
// job.Fields by their types, fields of other servers as foreign.go says. A name that is not known,
// or that stands twice, is an error that names it; one that makes no difference here is told in a
// notice. What a clip starts from (reference.go) is received into a temporary file, and looked at
// before the job is queued. The coordinator's Resolve checks the request as a whole.
//
// # Limits
//
// Everything that a client can make grow has one: connections, requests at once by kind, bytes of
// bodies and headers, time without a sign of life, pictures that are decoded. serve.go and body.go
// list them.
//
// What OpenAI's object has no field for is under "longtake". A follower answers with a redirect
// (307) to the leader; in a locked cluster it sends the request on (forward.go), as clients take no
// key along to another host.
package api
