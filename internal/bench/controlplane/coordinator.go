package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
)

// clientsMax is how many clients there may be at once. Beyond that the next one waits for another
// to end, and arrivals are not at the rate that was asked for any more.
const clientsMax = 512

// nodesMax is how many shards coordinators take: all, and as many again whose earlier process is
// not missed yet.
func (c *Config) nodesMax() int { return max(1024, 2*c.Shards) }

// checkpointEvery is the setting checkpoint.every-steps: each step or none, so that the rate of
// commands follows from the time of a step.
func (c *Config) checkpointEvery() int { return min(1, c.CheckpointBytes) }

// previewEvery is the setting preview.every-steps.
func (c *Config) previewEvery() int { return min(1, c.PreviewBytes) }

// startProgram starts a coordinator as a process of its own, with the flags that an operator would
// give it. What it logs is beside its data.
func (c *coordinators) startProgram(_ context.Context, m *member) error {
	if err := os.MkdirAll(m.Data, 0o700); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(m.Data, "log"))
	if err != nil {
		return err
	}
	defer log.Close()

	args := append(m.Flags(c.all()), "--limits-nodes", fmt.Sprint(c.cfg.nodesMax()),
		"--checkpoint-every-steps", fmt.Sprint(c.cfg.checkpointEvery()),
		"--preview-every-steps", fmt.Sprint(c.cfg.previewEvery()))

	// An open cluster takes requests without a key, so that the key's check is measured with --locked
	// alone.
	if m.identity != "" {
		args = append(args, "--tls-dir", m.identity)
	} else {
		args = append(args, "--http-anonymous", scopes())
	}

	cmd := exec.Command(c.cfg.Program, args...) //nolint:gosec // the program that is measured
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = config.Foreign(os.Environ()) // not the settings of whoever runs the benchmark
	if err := cmd.Start(); err != nil {
		return err
	}

	// Killed as by a power cut: what it has not written to the disk is lost.
	m.kill = func() { cmd.Process.Kill() } //nolint:errcheck // it has ended then
	go func() {
		err := cmd.Wait()
		m.stoppedBecause = fmt.Errorf("%w; it has logged to %s", err, log.Name())
		close(m.stopped)
	}()
	return nil
}

// startHere starts a coordinator within this process.
func (c *coordinators) startHere(ctx context.Context, m *member) error {
	_, listen, _ := strings.Cut(m.HTTP, "://")
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("cannot listen for HTTP: %w", err)
	}

	cfg := coord.Config{ID: m.ID, Data: m.Data, HTTP: m.HTTP, Log: c.cfg.Log,
		Limits:          coord.Limits{Nodes: c.cfg.nodesMax()},
		CheckpointEvery: new(c.cfg.checkpointEvery()), PreviewEvery: new(c.cfg.previewEvery()),
		NATS: coord.NATSConfig{Listen: m.NATS}, Raft: coord.RaftConfig{Peers: c.peers()}}
	if len(cfg.Raft.Peers) > 0 {
		cfg.Raft.Listen, cfg.NATS.Routes, cfg.NATS.Peers = m.Raft, m.Routes, m.Others(c.all())
	}

	running, err := coord.Start(ctx, cfg)
	if err != nil {
		return errors.Join(err, l.Close())
	}

	// It outlives the caller's context: clips that are under way are finished before it is killed.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := api.New(api.Config{Service: running, Metrics: running.Metrics(), Log: c.cfg.Log,
		Auth: api.Auth{Anonymous: access.AllScopes}, Hosts: api.Hosts(nil, listen, m.HTTP)})
	m.kill = stop
	go func() {
		err := api.ServeTLS(run, l, nil, h)
		m.stoppedBecause = errors.Join(errKilled, err, running.Close())
		close(m.stopped)
	}()
	return nil
}
