// Package job says what a job is: what may be asked for, what a model makes of it, and how a job
// moves from state to state. It is pure: no clock, no network, no files, and nothing that two
// coordinators could decide differently.
//
// # From a request to a record
//
// A client fills in a Request, by hand or field by field (Field.Set). Model.Resolve turns it into a
// Spec, with the model's defaults where the request says nothing, and refuses it with a *FieldError
// otherwise: "width is 100; allowed: a multiple of 16 from 16 to 4096, nearest 96 and 112". A
// Record is a job with its spec; New makes one, and its transitions (Place, Save, Lose, Complete
// ...) change it. Records are what coordinators agree on, in the order of the Raft log.
//
// # Terms
//
// An attempt is one placement of a job on nodes, numbered from 1; its number fences off messages of
// attempts before it. A Plan is an attempt's placement: node r runs rank r of the mesh. A
// Checkpoint is the latent after a denoising step, from which the next attempt goes on. A part is a
// finished piece of the result, such as a second of the clip, that later attempts use. A window is
// what of a long clip is denoised at once, in latent frames; two windows share an overlap.
//
// # What comes from others
//
// Specs, plans and models also arrive from shards and from older logs. Check methods judge those by
// the limits that Resolve holds requests to, so that nothing stored can be what no client could
// have asked for.
package job
