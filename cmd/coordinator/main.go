// Command coordinator runs one member of the control plane: Raft, NATS and the HTTP API.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/join"
	"github.com/longtake/longtake/internal/pki"
)

const long = `Run a coordinator: it takes jobs over HTTP, decides over them in Raft, and places
them on the shards that register over NATS. One is enough; three survive the loss of one.

  coordinator --config configs/coordinator.yaml`

// main adds recover to the command that every daemon has: it is for a coordinator that is stopped,
// and shares nothing with run but the settings.
func main() {
	cmd := daemon.Command("coordinator", "Run a coordinator", long, config.Coordinator(), run)
	cmd.AddCommand(recoverCommand())
	os.Exit(daemon.Main(cmd))
}

// run is the service behind the command: it reads the settings, starts the coordinator and answers
// HTTP until a signal ends ctx or the coordinator cannot go on. Settings are checked before
// anything listens or touches the disk, so that a typo leaves no trace and exits with 2.
func run(ctx context.Context, v *config.Values, log *slog.Logger) error {
	cfg, err := read(v)
	if err != nil {
		return err
	}
	served, err := readAPI(v)
	if err != nil {
		return err
	}

	// Now is the time of day for records; Clock only measures spans, so that setting a machine's clock
	// does not make leases run out.
	cfg.Log, cfg.Now, cfg.Clock = log, clock(cfg.Data), time.Now
	cfg.Commands = commands(cfg.Data)
	cfg.Identity, err = join.Identity(ctx, v, pki.RoleCoordinator, cfg.ID, hosts(v), log)
	if err != nil {
		return err
	}
	defer cfg.Identity.Close()

	// The port is taken before Raft starts: a second coordinator on this machine fails here, with
	// nothing changed on its disk. It also settles the URL where the port is 0.
	l, err := net.Listen("tcp", v.String("http.listen"))
	if err != nil {
		return fmt.Errorf("cannot listen for HTTP: %w", err)
	}
	if cfg.HTTP == "" {
		cfg.HTTP = scheme(cfg) + l.Addr().String()
	}

	// From here on every way out has to close the listener, until api.Serve owns it.
	localKey, err := makeKeys(v, &cfg, &served.Auth)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	c, err := coord.Start(ctx, cfg)
	if err != nil {
		return errors.Join(err, l.Close())
	}

	// Clients may be refused until a leader is elected; that is for /readyz to tell, not for the start
	// of the process.
	log.Info("serving", "http", cfg.HTTP, "nats", c.ClientURL(), "data", cfg.Data,
		"version", daemon.Version, "local-key", localKey)

	served.Service, served.Certificates, served.Metrics, served.Log = c, c, c.Metrics(), log
	served.Insecure, served.Identity = v.Insecure(), cfg.Identity
	served.Hosts = api.Hosts(v.Strings("http.hosts"), v.String("http.listen"), cfg.HTTP)
	h := api.New(served)

	// The API stops for either of two reasons: a signal, or a coordinator that has ended by itself and
	// could only answer with errors.
	run, stop := context.WithCancel(ctx)
	defer stop()
	go stopWith(run, c.Ended(), stop)
	keeper := join.Keeper{Own: cfg.Identity, Log: log,
		Coordinators: func() []string { return c.Bundle(run).Coordinators }}
	defer keeper.Start(run)()

	// Serve returns after requests under way had a moment to finish. The coordinator closes after it,
	// as those requests still ask it.
	err = api.ServeTLS(run, l, serverTLS(cfg), h)
	log.Info("stopping")
	closed := c.Close()
	if why := c.Err(); why != nil {
		return why // what the others say follows from it
	}
	return errors.Join(err, closed)
}

// stopWith calls stop once ended is closed; it returns when ctx ends.
func stopWith(ctx context.Context, ended <-chan struct{}, stop func()) {
	select {
	case <-ended:
		stop()
	case <-ctx.Done():
	}
}

// serverTLS is for the port of the API; nil: plain HTTP.
func serverTLS(cfg coord.Config) *tls.Config {
	if cfg.Identity == nil {
		return nil
	}
	return cfg.Identity.Server()
}

// scheme is how the URL of the API begins.
func scheme(cfg coord.Config) string {
	if cfg.Identity == nil {
		return "http://"
	}
	return "https://"
}

// peerPattern is ID@RAFT_HOST:PORT=HTTP_URL: the name in the cluster, where the others reach its
// Raft, and the URL to which followers send clients on.
var peerPattern = regexp.MustCompile(`^([^@=]+)@([^=]+)=(https?://.+)$`)

// read makes a coordinator's configuration of its settings; recover reads the same ones. Limits and
// intervals are pointers where 0 means none, to differ from what is not set. Peers and storage
// report together, so that both mistakes are seen at once.
func read(v *config.Values) (coord.Config, error) {
	// Empty settings stay empty here: coord.Start fills in the defaults that depend on others.
	c := coord.Config{
		ID: v.String("id"), Data: v.String("data"), HTTP: v.String("http.url"), Version: daemon.Version,
		Raft: coord.RaftConfig{Listen: v.String("raft.listen"), Join: v.Bool("raft.join")},
		NATS: coord.NATSConfig{Listen: v.String("nats.listen"), Routes: v.String("nats.routes"),
			Peers: v.Strings("nats.peers"), Private: v.Bool("nats.private")},
		Limits: coord.Limits{Queued: v.Int("limits.queued"), Kept: v.Int("limits.kept"),
			Nodes: v.Int("limits.nodes"), RequestTime: new(max(0, v.Duration("limits.request-time"))),
			RequestTokens: v.Int("limits.request-tokens")},
		CheckpointEvery: new(v.Int("checkpoint.every-steps")),
		PreviewEvery:    new(v.Int("preview.every-steps")),
		CertLife:        v.Duration("tls.cert-life"),
		Timing:          coord.Timing{LostAfter: v.Duration("lost-after")},
		Audit:           coord.ReadAudit(v),
	}

	peers, err := readPeers("raft.peers", v.Strings("raft.peers"))
	c.Raft.Peers = peers
	sheet, badSheet := coord.ReadPricing(v)
	c.Pricing = sheet
	return c, errors.Join(coord.ReadStorage(v, &c.Limits), badSheet, err)
}

// readPeers reads coordinators as they are written in settings and in --peers; name is what to call
// the setting in the error, which is about the first entry that does not fit.
func readPeers(name string, list []string) (out []coord.Peer, err error) {
	for _, p := range list {
		m := peerPattern.FindStringSubmatch(p)
		if m == nil {
			return nil, config.Errorf("%s has %q; allowed: ID@RAFT_HOST:PORT=HTTP_URL", name, p)
		}
		out = append(out, coord.Peer{ID: m[1], Raft: m[2], HTTP: m[3]})
	}
	return out, nil
}
