package nats

import (
	"time"

	"github.com/longtake/longtake/internal/natsd"
)

// Limits of a server for activations: chunks of several MiB, and receivers that compute for a while
// before they read on.
const (
	payloadMax    = 8 << 20
	serverPending = 256 << 20
	writeTimeout  = 30 * time.Second
)

// ServerOptions returns the options of a server that carries activations, for in-process clients
// alone. Transports work over other NATS servers, too, in smaller chunks.
func ServerOptions(name string) natsd.Options {
	return natsd.Options{Name: name, PayloadMax: payloadMax, PendingMax: serverPending,
		WriteTimeout: writeTimeout}
}
