package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"
)

// Limits of the server. Each holds against one client that is slow, or against too many: together
// they bound the files, the memory and the goroutines that requests can take.
const (
	// To send a request's header; a client that trickles it (Slowloris) is cut off.
	headerTime = 10 * time.Second
	// To send its body: bodyTime, and a second more for each bodyRate bytes that have come, so that an
	// upload of a GB may take minutes and a stalled one may not.
	bodyTime = 15 * time.Second
	bodyRate = 32 << 10
	// For a body in any case. At bodyRate it is 19 MB; a GB has to come at 1.8 MB a second.
	uploadTime = 10 * time.Minute
	// For the rest of a body that is not wanted: a client that still writes when the connection closes
	// would see a reset, not the answer.
	lingerTime = time.Second
	// For a reader to take a piece of an answer. It starts again with each piece, so a download of
	// hours is fine.
	stallTime = 30 * time.Second
	// For a connection between two requests.
	idleTime = 2 * time.Minute
	// For requests that run when the server stops; streams end at once.
	stopTime = 3 * time.Second
	// Bytes of a request's header, and of the header of a server that pictures are fetched from.
	headerMax = 64 << 10
	// Connections, or half of the files that may be open: the other half is for objects and Raft.
	connsMax = 8192
	// One part in so many of them more is for probes: see gate.
	sparePart = 4

	// Requests at once: without a body, and with one of up to bodyMax bytes in memory.
	requestsMax = 1024
	bodiesMax   = 512
	// Streams of events, and clients that wait in a create: a goroutine each, and little else.
	streamsMax = 4096
	// What is read and sent a piece at a time, of up to a MB in memory.
	loadsMax = 256
	// Inputs received at once: files of up to 1 GB on disk, pictures in memory.
	inputsMax = 8

	// What a poller is told to wait: a twentieth of the time that the stage still takes, so that a bar
	// moves in small steps, within bounds that suit both a clip of seconds and one of hours.
	pollPart  = 20
	pollLeast = 500 * time.Millisecond
	pollMost  = 10 * time.Second
)

// Serve answers on l until ctx ends, then lets running requests finish for a moment. It closes l.
// The error is one of the listener; that ctx ended is none. filesMax is asked once, here: the limit
// of the process is expected to stay.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	return ServeTLS(ctx, l, nil, h)
}

// ServeTLS is Serve over TLS; a nil configuration is plain HTTP. The certificate of a client, where
// one is shown, is in the request's TLS.
func ServeTLS(ctx context.Context, l net.Listener, cfg *tls.Config, h http.Handler) error {
	most := min(connsMax, filesMax()/2)
	return serveGate(ctx, newGate(l, most, most/sparePart), cfg, h)
}

// serveGate is Serve for a listener that counts its connections. Streams end when life does, at
// once; other requests have stopTime. Requests see the end of life as their context's cause,
// http.ErrServerClosed, by which they tell a server that stops from a client that left.
func serveGate(ctx context.Context, g *gate, cfg *tls.Config, h http.Handler) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(http.ErrServerClosed)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime + bodyTime,
		WriteTimeout: stallTime, IdleTimeout: idleTime, MaxHeaderBytes: headerMax,
		BaseContext: func(net.Listener) context.Context { return life },
		ConnContext: markSpare, ConnState: g.changed, ErrorLog: log.New(quiet{}, "", 0)}

	// Connections are counted below TLS, so that those count, too, that never finish a handshake.
	var l net.Listener = g
	if cfg != nil {
		l = tls.NewListener(g, cfg)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("cannot serve HTTP: %w", err)
	case <-ctx.Done():
	}

	end(http.ErrServerClosed) // streams
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	// Shutdown waits for what runs; after stopTime the connections are cut.
	if err := srv.Shutdown(stop); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve HTTP: %w", err)
	}
	return nil
}

// quiet is what net/http logs to: all goes to the standard log, as by default, but failed
// handshakes, of which strangers could cause any number. Why a certificate was refused says
// pki.Identity.
type quiet struct{}

// Write implements io.Writer.
func (quiet) Write(p []byte) (int, error) {
	if !bytes.Contains(p, []byte("TLS handshake error")) {
		log.Print(string(bytes.TrimSpace(p)))
	}
	return len(p), nil
}
