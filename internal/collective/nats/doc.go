// Package nats carries activations over NATS, which by itself drops large bursts silently. An
// Endpoint is a node's one subscription; its Transports, one for each rank that the node holds, add
// what is missing: chunks, a credit window for each peer, checksums, acknowledgement and
// retransmission, fencing of older attempts, and a deadline that names a silent peer. ServerOptions
// are for the NATS server that a node embeds.
//
// # Protocol
//
// A message is cut into chunks, each one NATS message with a fixed binary header (frame.go). The
// sender numbers the messages to each peer and keeps at most a window of unacknowledged bytes in
// flight. The receiver answers each chunk with the count of leading chunks it has, a bitmap of
// those it has beyond, and the number below which all messages are complete. A chunk is sent again
// when chunks sent well after it were acknowledged, as TCP's selective acknowledgement does it (RFC
// 6675), or when the time measured for a round trip (RFC 6298) has passed, doubled for each try.
// A receiver that already holds too many bytes that nobody waits for answers "later". One that has
// not joined yet does not answer, and its first sign of life starts retransmission at once.
//
// Every transport has a random session number: frames of an earlier process of a rank are dropped,
// and a peer that starts again within an attempt fails it. A rank that closes says bye and whom it
// blames, so that the others know at once.
//
// # Goroutines
//
// NATS calls Endpoint.receive for one frame after the other, on one goroutine for all transports
// of an endpoint. Each transport has a pacer, which keeps its time. Send and Recv run on the
// caller's goroutines. What they share is guarded by the transport's mutex, which is never held
// while a frame is published.
package nats
