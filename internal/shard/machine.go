package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
	"github.com/longtake/longtake/internal/collective/inproc"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/natsd"
)

// Process is what the shards of one process share, so that they pass what they send each other by
// reference, and coordinators place ranks of a job on neighbours. A nil one has a single shard.
type Process struct {
	handoff inproc.Handoff // what is on its way between them

	mu    sync.Mutex
	first job.NodeID          // the first that entered
	nodes map[job.NodeID]bool // that are in the process now
}

// NewProcess returns what shards share that are started in one process.
func NewProcess() *Process { return &Process{nodes: map[job.NodeID]bool{}} }

// id tells one start of the process from another: it is the id of its first shard.
func (p *Process) id(id job.NodeID) string {
	if p == nil {
		return string(id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.first)
}

// enter notes that a node is in the process, and leave that it is gone.
func (p *Process) enter(id job.NodeID) {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.nodes[id] = true
		p.first = cmp.Or(p.first, id)
	}
}

func (p *Process) leave(id job.NodeID) {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.nodes, id)
	}
}

// connect lets a rank of a plan pass slices by reference to ranks on other shards of the process;
// to the rest it sends as tr does.
func (p *Process) connect(tr collective.Transport, plan job.Plan) collective.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	here := make([]bool, len(plan.Nodes))
	for r, n := range plan.Nodes {
		here[r] = p.nodes[n]
	}
	here[tr.Rank()] = true
	return inproc.New(tr, &p.handoff, fmt.Sprintf("%s %d", plan.Job, plan.Attempt), here)
}

// Machine is the shards of one process: one for each of its GPUs, or a single one. To coordinators
// each is a node; what they send each other stays in the process.
type Machine struct {
	shards []*Shard
	server *natsd.Server // that they share; nil: none
	direct *direct.Node  // likewise
	done   chan struct{}
	wg     sync.WaitGroup
}

// StartMachine starts a shard for each of the GPUs that cfg names, called after it and the number
// of its GPU, or the one that cfg describes where it names none. If one of them cannot be started,
// none stays. The caller closes the machine.
func StartMachine(ctx context.Context, cfg Config) (*Machine, error) {
	m := &Machine{done: make(chan struct{})}
	cfg.Data.identity = cfg.Identity
	gpus, err := namedGPUs(cfg.Device, cfg.GPUs)
	if err != nil {
		return nil, &ModelError{err}
	}

	if gpus == nil {
		s, err := Start(ctx, cfg)
		if err != nil {
			return nil, err
		}
		m.shards = append(m.shards, s)
		return m.watch(), nil
	}

	cfg.Device, cfg.Process = DeviceCUDA, NewProcess()
	cfg.Texts = &engine.TextCache{}

	// One server for all of them, which other nodes reach by one route.
	if cfg.Data.URL == "" {
		if m.server, err = cfg.Data.serve(cfg.Name, cfg.Log); err != nil {
			return nil, fmt.Errorf("cannot open the data plane: %w", err)
		}
		cfg.Data.Server = m.server
	}

	if cfg.Data.Direct == nil {
		if m.direct, err = cfg.Data.direct(cfg.Log); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot open the data plane: %w", err), m.Close())
		}
		cfg.Data.Direct = m.direct
	}

	// One after the other: each reads the same files, which are then in memory for the next.
	name := cfg.Name
	for _, gpu := range gpus {
		cfg.Name, cfg.GPU = fmt.Sprintf("%s-gpu%d", name, gpu), gpu
		s, err := Start(ctx, cfg)
		if err != nil {
			return nil, errors.Join(err, m.watch().Close())
		}
		m.shards = append(m.shards, s)
	}
	return m.watch(), nil
}

// watch closes done when a shard ends.
func (m *Machine) watch() *Machine {
	var once sync.Once
	for _, s := range m.shards {
		m.wg.Go(func() {
			<-s.Done()
			once.Do(func() { close(m.done) })
		})
	}
	return m
}

// Shards returns the shards.
func (m *Machine) Shards() []*Shard { return m.shards }

// Done is closed when a shard has ended, by Close or because it was refused for good.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Err returns why shards ended by themselves, nil otherwise.
func (m *Machine) Err() error {
	return m.each(func(s *Shard) error { return s.Err() })
}

// Drain is Shard.Drain for all shards at once.
func (m *Machine) Drain(ctx context.Context, within time.Duration) error {
	return m.each(func(s *Shard) error { return s.Drain(ctx, within) })
}

// Close closes all shards at once, then what they share.
func (m *Machine) Close() error {
	err := m.each((*Shard).Close)
	m.wg.Wait()
	if m.server != nil {
		m.server.Shutdown()
	}
	if m.direct != nil {
		m.direct.Close()
	}
	return err
}

// each runs f for all shards at once.
func (m *Machine) each(f func(s *Shard) error) error {
	errs := make([]error, len(m.shards))
	var wg sync.WaitGroup
	for i, s := range m.shards {
		wg.Go(func() { errs[i] = f(s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
