package shard

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/wire"
)

// control is the connection to the coordinators. In a locked cluster it shows the shard's
// certificate, wants that of a coordinator, and uses subjects that name the shard.
type control struct {
	*natsio.Conn
	cfg      Config
	log      *slog.Logger
	identity string // the name in the certificate; "": the cluster is open

	mu   sync.Mutex
	peer string    // the coordinator whose certificate was believed last
	said string    // what complain has logged last
	at   time.Time // when
}

// identityOf is the name in the certificate of a process, "" if it has none.
func identityOf(i *pki.Identity) string {
	if i == nil {
		return ""
	}
	return i.ID().Name
}

// newNodeID draws the id of a node.
func newNodeID(identity string) job.NodeID {
	random := rand.Text()
	if identity != "" {
		random = random[:16] // 80 bits; the rest of the id is the identity's
	}
	return wire.NewNodeID(identity, random)
}

// openControl connects. Coordinators may be gone for any time, so the client never gives up, nor
// does it when they refuse it: its certificate may be replaced meanwhile. Errors of a subscription,
// such as a slow consumer, show as requests without an answer, which are repeated.
func openControl(cfg Config, log *slog.Logger) (*control, error) {
	c := &control{cfg: cfg, log: log, identity: identityOf(cfg.Identity)}
	opts := []natsio.Option{natsio.Name(cfg.Name), natsio.MaxReconnects(-1),
		natsio.ReconnectWait(retryPause), natsio.RetryOnFailedConnect(true),
		natsio.ErrorHandler(func(*natsio.Conn, *natsio.Subscription, error) {}),
		natsio.ReconnectErrHandler(func(_ *natsio.Conn, err error) { c.complain(err) }),
	}
	if i := cfg.Identity; i != nil {
		opts = append(opts, natsd.Locked(i, pki.RoleCoordinator, wire.Inbox(c.identity))...)
		opts = append(opts, natsio.Secure(c.noting(i.Client(pki.RoleCoordinator))))
	}
	if cfg.ControlOptions != nil {
		more, err := cfg.ControlOptions()
		if err != nil {
			return nil, err
		}
		opts = append(opts, more...)
	}

	var err error
	if c.Conn, err = natsio.Connect(cfg.Control, opts...); err != nil {
		return nil, fmt.Errorf("cannot reach the coordinators that control names: %w", err)
	}
	return c, nil
}

// noting returns a configuration that remembers which coordinator was believed. It says so before
// it has judged this shard, which with TLS 1.3 it does last.
func (c *control) noting(conf *tls.Config) *tls.Config {
	judge := conf.VerifyConnection
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		err := judge(s)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.peer = ""
		if len(s.PeerCertificates) > 0 && err == nil {
			if id, bad := pki.ParseID(s.PeerCertificates[0]); bad == nil {
				c.peer = id.URI()
			}
		}
		return err
	}
	return conf
}

// ask sends a request to the leader and reads its answer, within requestTime. Without a leader
// nobody answers, which is an error.
func ask[T any](ctx context.Context, c *control, subject string, m any) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	var none T
	msg, err := c.RequestWithContext(ctx, wire.Said(subject, c.identity), wire.Encode(m))
	if err != nil {
		return none, err
	}
	answer, err := wire.Decode[T](msg.Data)
	if err != nil {
		return none, fmt.Errorf("cannot read the answer on %s: %w", subject, err)
	}
	return answer, nil
}

// complainEvery is the time between two lines of the log that say the same.
const complainEvery = time.Minute

// unheard takes down that a request was not answered. That no coordinator is there passes.
func (c *control) unheard(err error) {
	c.log.Debug("no coordinator answers", "error", err)
	if !c.IsConnected() {
		c.complain(c.LastError())
	}
}

// complain logs why the coordinators cannot be reached where a certificate stands in the way: that
// is an error, since somebody has to act, though the client goes on trying.
func (c *control) complain(err error) {
	what, todo := c.complaint(err)
	if what == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if what == c.said && time.Since(c.at) < complainEvery {
		return
	}
	c.said, c.at = what, time.Now()
	c.log.Error(what, "shard", c.cfg.Name, "control", c.cfg.Control, "coordinator", c.peer,
		"error", err, "remedy", todo)
}

// complaint says what stands between this shard and a coordinator, and what to do; "": nothing but
// the network.
func (c *control) complaint(err error) (what, todo string) {
	own := c.cfg.Identity
	var refusal *pki.Refusal
	text := fmt.Sprint(err)
	tlsError := errors.Is(err, natsio.ErrTLS) || strings.Contains(text, "tls: ")

	switch {
	case err == nil:
		return "", ""
	case own == nil && (tlsError || errors.Is(err, natsio.ErrAuthorization)):
		return "the coordinators want a certificate, and this shard has none",
			"set tls.dir to a folder with one, or start the shard with --join"
	case errors.Is(err, natsio.ErrSecureConnWanted):
		return "this shard wants TLS, and the coordinators have none",
			"set their tls.dir, or take away this shard's if the cluster is to be open"
	case errors.As(err, &refusal):
		return "this shard does not believe a coordinator", "have control name coordinators of " +
			own.ID().Cluster + " alone, and ca.crt in " + own.Dir() + " hold the CA of theirs"
	case tlsError || errors.Is(err, natsio.ErrAuthorization):
		what = "a coordinator refuses the certificate of " + own.ID().URI()
		if until := own.Leaf().NotAfter; time.Now().After(until) {
			return what, fmt.Sprintf("it ran out at %s: put a new one into %s, or start the shard again "+
				"with --join and a new token", until.UTC().Format(time.RFC3339), own.Dir())
		}
		return what, "the log of the coordinator says why (revoked, another cluster, an unknown CA); " +
			"put one that it takes into " + own.Dir() + ", which is used with the next try"
	}
	return "", ""
}
