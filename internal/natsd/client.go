package natsd

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/pki"
)

// Connect returns a client within the process, which follows the server through Restart. Options
// given here replace the defaults (see Dial). The caller closes it.
func (s *Server) Connect(more ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(clientOptions(nats.InProcessServer(s)), more...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// Dial connects to a NATS server outside, such as nats://host:4222. The client reconnects for ever
// and prints nothing. Options given here replace these defaults. The caller closes it.
func Dial(url string, more ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(url, clientOptions(more...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to NATS at %s: %w", url, err)
	}
	return nc, nil
}

func clientOptions(more ...nats.Option) []nats.Option {
	return append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // its default prints
	}, more...)
}

// Locked returns options for nats.Connect to a server that is locked, whose clients have these
// subjects for answers. The server has to be of a role. A client that is refused keeps trying.
func Locked(i *pki.Identity, server pki.Role, inbox string) []nats.Option {
	return []nats.Option{nats.Secure(i.Client(server)), nats.CustomInboxPrefix(inbox),
		nats.IgnoreAuthErrorAbort()}
}
