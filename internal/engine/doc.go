// Package engine computes one rank's part of a clip: text, denoising, decoding, and on rank 0 the
// file. It knows ranks, which exchange values over a collective.Transport, and an object store; it
// knows nothing of coordinators, nor of the node that runs it, which it reaches through a Host.
//
// An Engine is a model loaded on a device. Engine.Run carries out an Assignment, which is one
// rank's part of one attempt, and returns when that is over. A StepCache belongs to the node and
// outlives attempts. Describe tells the control plane what a model can make.
//
// # The life of an attempt
//
// All ranks run the same stages together:
//
//	prepare   lay the clip out among the ranks (package partition), reserve memory
//	text      the first rank of each group encodes the prompts, the others receive the embeddings
//	denoise   package diffusion's loop; each rank has the tokens of its windows
//	finish    rank 0 gathers the latent into a file and stores it
//	decode    in bands of rows, as many ranks as it pays for; rank 0 puts frames together
//	encode    rank 0 encodes while the next frames are decoded, and stores the clip
//
// What can be saved of an attempt that is lost is saved as it goes: after a step a checkpoint
// (checkpoint.go), of text, pictures, latents and the clip's first seconds parts (parts.go), and of
// the step under way the velocities of windows, in the memory of the nodes that are left
// (stepcache.go). A later attempt takes them from its plan, on any other mesh, and makes a clip
// with the same bytes.
//
// # Goroutines
//
// The goroutine that called Run computes, sends and receives for the rank; the device and the
// fields of a run are its own. Other goroutines run until Run returns: on each rank one that
// gathers a checkpoint while the next step is computed; on rank 0 one that stores checkpoints, one
// that makes previews, one that encodes, and one that stores seconds of the clip; and on any rank
// those that store other parts. They get copies, or files, of what they work on.
//
// # Caveats
//
// The bits of a clip depend on its spec and the device's arithmetic alone: not on the mesh, nor on
// which attempts it took. Whatever sums values does so in an order that all meshes share.
//
// Checkpoints, parts and previews are never needed: an error in one of them is the Host's to know,
// and ends nothing. An error of a peer (*collective.PeerError), of the device or of the store ends
// the rank.
package engine
