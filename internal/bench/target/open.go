package target

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Dialects lists what Options.Dialect may be besides "" and "auto".
var Dialects = []string{"longtake", "videos", "generations", "dynamo"}

// Auto finds the dialect out.
const Auto = "auto"

// Options say where a target is and how to speak to it.
type Options struct {
	// URL is the server's, such as http://127.0.0.1:8080; it may end in /v1.
	URL string
	// Dialect is one of Dialects; "" or Auto: whatever the server turns out to speak.
	Dialect string
	// Key is the API key, sent as a bearer token; "": none.
	Key string
	// CA is a file of PEM certificates, or a folder with a ca.crt, that are believed instead of the
	// system's; "": those of the system.
	CA string
	// Model is that of requests that name none, for servers that want one; "": the server's first.
	Model string
	// Timeout is for one clip, with its time in the queue; 0: an hour.
	Timeout time.Duration
	// Poll is the longest pause between two questions after a clip's state, for dialects that have to
	// ask; 0: a second. It is a hundredth of the clip's age as long as that is less, and 20 ms at
	// least.
	Poll time.Duration
	// Content has each clip downloaded, hashed and compared with its request. That comes after the
	// clip's latency, but is work for the server beside the clips that follow.
	Content bool
	// ContentMax is how large a clip may be, in bytes; 0: 4 GiB.
	ContentMax int64
	// Connections is how many clips are under way at most; 0: 256. More are possible, at the price
	// of new connections.
	Connections int
}

// Defaults. An hour is more than clips take on GPUs, and less than a night that a benchmark loses
// to a server which hangs; the slow clips of CPUs need another one. A file of 4 GiB is more than
// any that a server sends, as lossless minutes have less.
const (
	defaultTimeout     = time.Hour
	defaultContentMax  = 4 << 30
	defaultConnections = 256
)

// checked returns the options with their defaults, or what is wrong with them.
func (o Options) checked() (Options, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return o, fmt.Errorf("server %q; allowed: a URL such as http://127.0.0.1:8000", o.URL)
	}

	if o.Dialect == "" {
		o.Dialect = Auto
	}

	if o.Dialect != Auto && !slices.Contains(Dialects, o.Dialect) {
		return o, fmt.Errorf("dialect %q; allowed: %s, %s", o.Dialect, Auto,
			strings.Join(Dialects, ", "))
	}

	if o.Timeout < 0 || o.Poll < 0 || o.ContentMax < 0 || o.Connections < 0 {
		return o, fmt.Errorf("a limit below 0; allowed: 0 for the default, and above")
	}

	o.URL = strings.TrimSuffix(strings.TrimRight(o.URL, "/"), "/v1")
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.ContentMax == 0 {
		o.ContentMax = defaultContentMax
	}
	if o.Connections == 0 {
		o.Connections = defaultConnections
	}
	return o, nil
}

// Open returns the server at a URL. An error is about the options, or says that nobody answers, or
// which dialects were tried.
func Open(ctx context.Context, o Options) (Target, error) {
	o, err := o.checked()
	if err != nil {
		return nil, err
	}

	w, err := newWire(o)
	if err != nil {
		return nil, err
	}

	p := peer{o: o, wire: w}
	if o.Dialect != "longtake" {
		p.seen = p.look(ctx)
	}

	if o.Dialect == Auto {
		if p.seen.err != nil {
			return nil, p.seen.err
		}
		if p.o.Dialect, err = p.seen.dialect(o.URL); err != nil {
			return nil, err
		}
	}

	switch p.o.Dialect {
	case "videos":
		return newVideos(p), nil
	case "generations":
		return newGenerations(p), nil
	case "dynamo":
		return newDynamo(p), nil
	}
	return newLongtake(ctx, p.o, w)
}
