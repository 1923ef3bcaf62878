// Package artifact keeps the bytes that jobs leave behind: latents and videos. An object's name is
// made from its SHA-256, so what is stored twice is kept once and nothing is ever overwritten, and
// every reader checks what it reads.
//
// JetStream holds the objects of a cluster; Memory is for tests and for a process of its own.
// Which objects are still needed is decided in the control plane; a store only does as it is told.
package artifact
