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
// # Sealed attempts
//
// Ranks that join with a key (collective.Key) seal all that they send each other: chunks, answers,
// signs of life and byes. A sealed frame is AES-256-GCM with the header as additional data, so a
// reader on the way sees who sends how much to whom, and nobody without the key can make, change or
// read one. GCM's tag takes the place of the checksum.
//
// The cipher's key is HKDF's (RFC 5869), of the attempt's key, its number, the job's name, the
// sender's rank and session, and the receiver's rank. So it has one sender, and goes one way. The
// nonce is the number of the frame among all that this session has sent to this rank, and which
// part of the frame it is; the number is in the header. No nonce is used twice under one key:
//
//   - The number comes from one counter of 64 bits for each receiver, which gives each number once,
//     whatever goroutine asks (keyring.sent). It outlives the transport, for the byes that an
//     endpoint answers with after its end.
//   - A chunk that is sent again is sealed again, under a new number. The only bytes that are sent
//     twice are those that somebody else repeats.
//   - A rank that starts again within an attempt draws another session, of 63 random bits, and so
//     has other keys; so has a rank of another attempt, even were its key the same.
//   - What is sealed in parts (sealed.go) has a part in each nonce.
//
// What opens is the peer's, and was meant for this rank in this attempt: a frame that is sent back
// to its sender, or to another rank, is under another key there. A window over the numbers (RFC
// 6479) takes each once. A frame that does not open is dropped and counted (Stats.Forged): it does
// not count as a sign of life, it answers nothing, and it ends nothing, since anybody may have sent
// it. The honest frame in its place comes again, or the deadline passes.
//
// All ranks of an attempt have its key: they are not protected from each other. A rank whose frames
// of an older attempt meet an endpoint without that attempt's key is not told that it is over; its
// deadline or the leader tells it.
//
// # Goroutines
//
// NATS calls Endpoint.receive for one frame after the other, on one goroutine for all transports
// of an endpoint. Each transport has a pacer, which keeps its time. Send and Recv run on the
// caller's goroutines. What they share is guarded by the transport's mutex, which is never held
// while a frame is published.
package nats
