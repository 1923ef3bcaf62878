package engine

import "github.com/longtake/longtake/internal/collective"

// Messages between ranks carry a collective.Tag: the step, and a number of the operation within it.
// The transformer's own messages have the numbers below opFirst, pass by pass. Each other kind of
// message has opsPerKind numbers of its own, so that no two messages between two ranks are alike.
const (
	opFirst    = 1 << 31
	opsPerKind = 1 << 24
)

// The kinds of messages. Behind each is what its messages are
// numbered by, where there are several.
const (
	opGuidance    = opFirst + iota*opsPerKind // the window
	opText                                    // the step is the number of the text
	opSeams                                   // where windows are made one by one, the window
	opCheckpoint                              // the chunk of tokens
	opLatents                                 // the chunk of tokens
	opStepCache                               // velocities of an earlier attempt
	opInventory                               // which of those each rank has
	opStats                                   // what a rank has sent, to rank 0
	opDecodeOrder                             // which rows a rank is to decode
	opRows                                    // rows of frames; the step counts latent frames
	opRowsTaken                               // rank 0 has put those rows into a frame
	opLatentsKept                             // whether an earlier attempt left the latents
	opStart                                   // the latent of the picture that a clip starts from
	opEdit                                    // a part of a video's frame, which is the step
	opPictures                                // embeddings of the clip's pictures
	opCondition                               // the frame of tokens
	opBlock                                   // a block of a causal clip; the step counts blocks
	opRanks                                   // what a rank did in its steps, to rank 0
)

// op numbers the i-th message of a kind.
func op(kind uint32, i int) uint32 { return kind + uint32(i) } //nolint:gosec // below opsPerKind

// closingTag tags messages that follow the denoising loop.
func (r *run) closingTag(op uint32) collective.Tag {
	return collective.Tag{Step: uint32(r.Plan.Spec.TotalSteps()), Op: op} //nolint:gosec // few
}

// frameTag tags the messages about the pixels that latent frame t becomes.
func (r *run) frameTag(t int, op uint32) collective.Tag {
	tag := r.closingTag(op)
	tag.Step += uint32(t) //nolint:gosec // frames are few
	return tag
}
