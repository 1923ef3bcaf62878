// Command coordinator runs one member of the control plane: Raft, NATS and the HTTP API.
package main

import (
	"context"
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
)

const long = `Run a coordinator: it takes jobs over HTTP, decides over them in Raft, and places
them on the shards that register over NATS. One is enough; three survive the loss of one.

  coordinator --config configs/coordinator.yaml`

func main() {
	cmd := daemon.Command("coordinator", "Run a coordinator", long, config.Coordinator(), run)
	cmd.AddCommand(recoverCommand())
	os.Exit(daemon.Main(cmd))
}

func run(ctx context.Context, v *config.Values, log *slog.Logger) error {
	cfg, err := read(v)
	if err == nil {
		err = api.CheckAccess(v.Strings("http.hosts"), v.Strings("http.cors-origins"))
	}
	if err != nil {
		return daemon.Usage(err)
	}
	clients, err := api.ReadClients(v)
	if err != nil {
		return err
	}
	cfg.Log, cfg.Now, cfg.Clock = log, clock(cfg.Data), time.Now
	l, err := net.Listen("tcp", v.String("http.listen"))
	if err != nil {
		return fmt.Errorf("cannot listen for HTTP: %w", err)
	}
	if cfg.HTTP == "" {
		cfg.HTTP = "http://" + l.Addr().String()
	}
	if err := os.MkdirAll(cfg.Data, 0o750); err != nil {
		return errors.Join(fmt.Errorf("cannot create the data directory: %w", err), l.Close())
	}
	c, err := coord.Start(ctx, cfg)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	log.Info("serving", "http", cfg.HTTP, "nats", c.ClientURL(), "data", cfg.Data,
		"version", daemon.Version)
	h := api.New(api.Config{Service: c, Metrics: c.Metrics(), Log: log,
		Hosts:   api.Hosts(v.Strings("http.hosts"), v.String("http.listen"), cfg.HTTP),
		Origins: v.Strings("http.cors-origins"), Clients: clients})
	run, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-c.Ended():
			stop()
		case <-run.Done():
		}
	}()
	err = api.Serve(run, l, h)
	log.Info("stopping")
	closed := c.Close()
	if why := c.Err(); why != nil {
		return why // what the others say follows from it
	}
	return errors.Join(err, closed)
}

// peerPattern is ID@RAFT_HOST:PORT=HTTP_URL.
var peerPattern = regexp.MustCompile(`^([^@=]+)@([^=]+)=(https?://.+)$`)

func read(v *config.Values) (coord.Config, error) {
	c := coord.Config{
		ID: v.String("id"), Data: v.String("data"), HTTP: v.String("http.url"), Version: daemon.Version,
		Raft: coord.RaftConfig{Listen: v.String("raft.listen"), Join: v.Bool("raft.join"),
			TLS: coord.TLSConfig{Cert: v.String("raft.tls.cert"), Key: v.String("raft.tls.key"),
				CA: v.String("raft.tls.ca")}},
		NATS: coord.NATSConfig{Listen: v.String("nats.listen"), Routes: v.String("nats.routes"),
			Peers: v.Strings("nats.peers"), Private: v.Bool("nats.private")},
		Limits: coord.Limits{Queued: v.Int("limits.queued"), Kept: v.Int("limits.kept"),
			Nodes: v.Int("limits.nodes"), RequestTime: new(max(0, v.Duration("limits.request-time"))),
			RequestTokens: v.Int("limits.request-tokens")},
		CheckpointEvery: new(v.Int("checkpoint.every-steps")),
		PreviewEvery:    new(v.Int("preview.every-steps")),
		Timing:          coord.Timing{LostAfter: v.Duration("lost-after")},
	}
	peers, err := readPeers("raft.peers", v.Strings("raft.peers"))
	c.Raft.Peers = peers
	return c, errors.Join(coord.ReadStorage(v, &c.Limits), err)
}

// readPeers reads coordinators as they are written in settings.
func readPeers(name string, list []string) (out []coord.Peer, err error) {
	for _, p := range list {
		m := peerPattern.FindStringSubmatch(p)
		if m == nil {
			return nil, fmt.Errorf("%s has %q; allowed: ID@RAFT_HOST:PORT=HTTP_URL", name, p)
		}
		out = append(out, coord.Peer{ID: m[1], Raft: m[2], HTTP: m[3]})
	}
	return out, nil
}
