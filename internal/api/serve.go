package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Limits of the server. Each holds against one client that is slow, or against too many: together
// they bound the files, the memory and the goroutines that requests can take.
const (
	headerTime = 10 * time.Second // to send a request's header
	bodyTime   = 15 * time.Second // to send its body, and more by its length
	bodyRate   = 32 << 10         // bytes a second that a body has to come at beyond that
	uploadTime = 10 * time.Minute // for a body in any case
	lingerTime = time.Second      // for the rest of a body that is not wanted
	stallTime  = 30 * time.Second // for a reader to take a piece of an answer
	idleTime   = 2 * time.Minute
	stopTime   = 3 * time.Second // for requests that run when the server stops
	headerMax  = 64 << 10        // bytes
	connsMax   = 8192            // connections, or half of the files that may be open
	sparePart  = 4               // one part in so many of them more is for probes

	requestsMax = 1024 // at once without a body
	bodiesMax   = 512  // with one, of up to bodyMax bytes in memory
	streamsMax  = 4096 // streams of events
	loadsMax    = 256  // what is read and sent a piece at a time, of up to a MB in memory
	inputsMax   = 8    // received at once: files on disk, pictures in memory

	pollPart  = 20 // of a stage's time, which the client should let pass until it asks again
	pollLeast = 500 * time.Millisecond
	pollMost  = 10 * time.Second
)

// Serve answers on l until ctx ends, then lets running requests finish for a moment. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	most := min(connsMax, filesMax()/2)
	return serveGate(ctx, newGate(l, most, most/sparePart), h)
}

// serveGate is Serve for a listener that counts its connections. Streams end when life does, at
// once; other requests have stopTime.
func serveGate(ctx context.Context, g *gate, h http.Handler) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(http.ErrServerClosed)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime + bodyTime,
		WriteTimeout: stallTime, IdleTimeout: idleTime, MaxHeaderBytes: headerMax,
		BaseContext: func(net.Listener) context.Context { return life },
		ConnContext: markSpare, ConnState: g.changed}

	done := make(chan error, 1)
	go func() { done <- srv.Serve(g) }()
	select {
	case err := <-done:
		return fmt.Errorf("cannot serve HTTP: %w", err)
	case <-ctx.Done():
	}

	end(http.ErrServerClosed) // streams
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve HTTP: %w", err)
	}
	return nil
}
