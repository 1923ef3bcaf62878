// Package artifact stores the bytes that jobs leave behind: latents, videos, checkpoints. An
// object's name is made from its SHA-256, so the same bytes are kept once however often they are
// stored, nothing is ever overwritten, and every reader checks what it reads.
//
// JetStream holds the objects of a cluster; Memory is for tests. The coordinators decide which
// objects are still needed, and a store only does as it is told.
package artifact
