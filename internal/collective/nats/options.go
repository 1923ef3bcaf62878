package nats

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/longtake/longtake/internal/collective/direct"
)

// Options are the limits of an endpoint; zero fields take the defaults.
type Options struct {
	// ChunkBytes is the payload of one NATS message; default 1 MiB, at most what the server takes.
	ChunkBytes int
	// WindowBytes bounds the unacknowledged bytes to each peer; default 8 MiB, less with many peers.
	WindowBytes int
	// BytesMax bounds one message; default 1 GiB.
	BytesMax int64
	// UnclaimedBytes bounds what the endpoint holds that no call waits for yet; default 4 GiB.
	UnclaimedBytes int64

	// PeerTimeout is the silence after which a peer that owes something is lost; default 30 s.
	PeerTimeout time.Duration
	// KeepAlive is the time between signs of life to a peer; default PeerTimeout / 6, at most 1 s.
	KeepAlive time.Duration
	// RetransmitAfter is the first and the least retransmission time; default 200 ms.
	RetransmitAfter time.Duration
	// RetransmitMax is the longest; default 2 s.
	RetransmitMax time.Duration
	// Linger is how long Close waits for acknowledgements; default 2 s.
	Linger time.Duration

	// Direct is this process's end of direct connections, which chunks take where they can; nil: all
	// go over NATS. It is the caller's, and outlives the endpoint.
	Direct *direct.Node

	// Log takes the first forged frame of each attempt; nil: nothing is logged.
	Log *slog.Logger

	// Intercept sees every outgoing frame and returns what to publish instead, for tests that lose
	// or harm frames. The frame's memory is used again once Intercept returns.
	Intercept func(frame []byte) [][]byte
}

const (
	// Bytes; large enough that a header and an answer per chunk cost nothing.
	chunkDefault = 1 << 20
	chunkLeast   = 16 // bytes; smaller ones make too many chunks
	// Bytes; about 7 ms of a link of 10 Gbit/s.
	windowDefault = 8 << 20
	fanInBytes    = 48 << 20 // windows of all peers together: a server buffers 64 MiB per client
	// Bytes; about 13 ms of 20 Gbit/s, which covers the delay of acknowledgements.
	directWindow = 32 << 20
	directChunk  = 256 << 10 // bytes; 2 ms of a link of 1 Gbit/s
)

// withDefaults fills the options for a server that takes payloads of at most payloadMax bytes.
func (o Options) withDefaults(payloadMax int64) (Options, error) {
	setDefault(&o.ChunkBytes, chunkDefault)
	setDefault(&o.WindowBytes, windowDefault)
	setDefault(&o.BytesMax, 1<<30)
	setDefault(&o.UnclaimedBytes, 4<<30)
	setDefault(&o.PeerTimeout, 30*time.Second)
	setDefault(&o.KeepAlive, min(o.PeerTimeout/6, time.Second))
	setDefault(&o.RetransmitAfter, 200*time.Millisecond)
	setDefault(&o.RetransmitMax, max(2*time.Second, o.RetransmitAfter))
	setDefault(&o.Linger, 2*time.Second)

	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if room := payloadMax - sealedHeaderBytes; int64(o.ChunkBytes) > room {
		o.ChunkBytes = int(room)
	}
	if o.ChunkBytes < chunkLeast {
		return o, fmt.Errorf("chunks of %d bytes are too small: %d is the least",
			o.ChunkBytes, chunkLeast)
	}
	return o, nil
}

func setDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// window returns how many bytes may be in flight to each of so many peers.
func (o Options) window(peers int) int {
	share := fanInBytes / max(peers, 1)
	return min(o.WindowBytes, max(share, 2*o.ChunkBytes))
}
