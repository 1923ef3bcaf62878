// Package artifact stores the bytes that jobs leave behind: latents, videos, checkpoints. An
// object's name is made from its SHA-256, so the same bytes are kept once however often they are
// stored, nothing is ever overwritten, and every reader checks what it reads.
//
// JetStream holds the objects of a cluster; Memory is for tests. The coordinators decide which
// objects are still needed, and a store only does as it is told.
//
// There are two ways to the objects in JetStream:
//
// In an open cluster nodes and coordinators alike write into the bucket (Open, Bind). A node
// that is not what it seems could overwrite and delete there what is not its own.
//
// In a locked cluster nodes have no rights in JetStream. They ask a Desk of the coordinator that
// leads, through a Remote, which is a Store, too. The desk takes an object in chunks, compares it
// with its name, and only then stores it; it hands out what a node's jobs refer to, and nothing
// else. What a node may do is a Grant, which follows from what the coordinators have decided: so
// a new leader knows it at once, and an upload that the old one has taken in part is sent again.
//
// A Cache, beside them, keeps values that can be made again. At a desk its keys are bound to an
// owner and to a text of the job that the node works on.
package artifact
