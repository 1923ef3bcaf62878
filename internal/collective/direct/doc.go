// Package direct carries frames between processes over TCP connections of their own, several for
// each pair of processes. It knows no ranks, attempts or messages: package nats does, whose
// transports hand a frame to a Link where the pair has one, and to NATS otherwise.
//
// # Protocol
//
// A process that takes part listens at one address and makes an Offer of it: its random id, a
// random key, and the address. Ranks tell each other the offers of their processes over NATS. Two
// processes that have each other's offer make a Link. The one with the lower id dials, as many
// connections as it is set to, and again whenever one is cut.
//
// A connection begins with a handshake, which proves to either side that the other one knows both
// keys, and so has been heard over NATS. MAC is an HMAC-SHA256 under a key made of both:
//
//	dialer   ->  magic u32  version u8  index u8  zero u16  own id [16]  peer's id [16]  nonce [16]
//	acceptor ->  nonce [16]  MAC("answer", hello, nonce) [32]
//	dialer   ->  MAC("proof", hello, nonce) [32]
//
// Frames follow, both ways, little endian. An empty one, without header and payload, is a sign of
// life:
//
//	 0        2             3       4              8               16                 20
//	+--------+-------------+-------+--------------+---------------+------------------+
//	| magic  | header size | zero  | payload size | payload's sum | CRC of all above |
//	| u16    | u8          | u8    | u32          | u64           | and header, u32  |
//	+--------+-------------+-------+--------------+---------------+------------------+
//	| header, which says where the payload goes   | payload ...                      |
//
// The payload's sum is the XXH3 of each 64 KiB of it, one after the other, each with the sum so far
// as its seed. The magic tells frames with a sum from sealed ones, of which it is 0. The header has
// a checksum (CRC32C) of its own, so that a Receiver can say by it where the payload goes before
// that is read: the kernel writes it straight into the message's final buffer, and the sender's
// kernel reads it from the message. No copy is made in between. A wrong checksum, or a frame above
// the limits, cuts the connection, since nothing after it can be trusted.
//
// A connection that is cut takes along what its kernels hold. Its users are told (User.Cut) and
// send again what was not acknowledged on it. Answers to a frame go through the connection that it
// came by (Conn.Queue), so that a cut loses both or neither. They wait a moment for a frame to
// travel with, and never hold up the reading: two processes that wait for each other's reading
// would wait for ever.
//
// # Strangers
//
// Anybody may connect to the port. Connections without a handshake are few (the oldest has to go
// for a new one) and short (Options.HandshakeTimeout), and the first bytes have to be right. What
// is read and kept of them is 56 bytes. The handshake does not hide what follows. Users seal frames
// themselves that others must not read or change (Link.SendSealed): what such a frame has in place
// of a checksum, its Sink judges.
//
// # Goroutines
//
// A Node has one that accepts, and each connection has a reader. Frames are written by the callers
// of Link.Send, and answers that found none to travel with by timers. Node.Close waits for all of
// them.
package direct
