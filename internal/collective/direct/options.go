package direct

import (
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Options configure a Node; zero fields take the defaults.
type Options struct {
	// Listen is the host:port at which other processes connect; default 127.0.0.1:0.
	Listen string
	// Advertise is the host:port that they dial; default: where Listen ended up, at AdvertiseHost if
	// that is set.
	Advertise, AdvertiseHost string
	// Connections is how many this process dials to each other one; default 4, at most
	// ConnectionsMax.
	Connections int

	// Timeout is how long a connection may be silent, or take no bytes, before it is cut; default 10
	// s. Signs of life are sent every quarter of it.
	Timeout time.Duration
	// HandshakeTimeout is what a new connection has to prove itself; default 5 s.
	HandshakeTimeout time.Duration
	// RetryMin and RetryMax bound the pause before a connection is dialled again; default 10 ms and 1
	// s.
	RetryMin, RetryMax time.Duration

	// Wrap is put around every new connection, in front of the handshake; nil: nothing. It is for
	// tests that harm what is sent.
	Wrap func(net.Conn) net.Conn
	// Log takes what an operator should know; nil: nothing is logged.
	Log *slog.Logger
}

const (
	// ConnectionsMax bounds the connections of a pair of processes.
	ConnectionsMax = 16

	connectionsDefault = 4
	strangersMax       = 64  // connections before the end of their handshake
	linksMax           = 512 // of a node
)

func (o Options) withDefaults() (Options, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Connections == 0 {
		o.Connections = connectionsDefault
	}
	if o.Connections < 1 || o.Connections > ConnectionsMax {
		return o, fmt.Errorf("%d connections for each pair of processes; allowed: 1 to %d",
			o.Connections, ConnectionsMax)
	}

	if len(o.Advertise) > addressMax {
		return o, fmt.Errorf("the address has %d bytes; allowed: %d", len(o.Advertise), addressMax)
	}

	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&o.Timeout, 10 * time.Second}, {&o.HandshakeTimeout, 5 * time.Second},
		{&o.RetryMin, 10 * time.Millisecond}, {&o.RetryMax, time.Second}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}

	o.RetryMax = max(o.RetryMax, o.RetryMin)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
