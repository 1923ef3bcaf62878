package coord

import (
	"context"
	"fmt"
	"strconv"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/job"
)

// Nodes implements Service.
func (c *Coordinator) Nodes(context.Context) ([]Node, error) {
	l, err := c.leader()
	if err != nil {
		return nil, err
	}
	return l.list(), nil
}

// Model implements Service.
func (c *Coordinator) Model(context.Context) (job.Model, bool) {
	m := c.fsm.model()
	return m, m.Fingerprint != ""
}

// Ready implements Service.
func (c *Coordinator) Ready(context.Context) error {
	if err := c.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	if c.lead.Load() == nil {
		if e := c.notLeader().(*NotLeaderError); e.ID == "" { //nolint:errorlint // its own
			return fmt.Errorf("%w: no leader is elected", ErrNotReady)
		}
	}
	if !c.broker.conn.IsConnected() {
		return fmt.Errorf("%w: NATS is down", ErrNotReady)
	}
	if c.objects.Load() == nil {
		return fmt.Errorf("%w: the object store is not open yet", ErrNotReady)
	}
	return nil
}

// Status implements Service.
func (c *Coordinator) Status(context.Context) (Status, error) {
	r := c.cons.raft
	_, leader := r.LeaderWithID()
	s := Status{ID: c.cfg.ID, State: r.State().String(), Leader: string(leader),
		LastIndex: r.LastIndex(), Applied: r.AppliedIndex(), NATS: c.ClientURL(),
		Model: c.fsm.model(), Version: c.cfg.Version, Space: c.space.seen()}
	s.Term, _ = strconv.ParseUint(r.Stats()["term"], 10, 64)
	s.Queued, s.Running, s.Jobs = c.fsm.counts()
	if l := c.lead.Load(); l != nil {
		l.mu.Lock()
		s.Nodes = len(l.nodes)
		l.mu.Unlock()
	}
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return s, fmt.Errorf("cannot read the members: %w", err)
	}
	addresses := c.addresses()
	for _, m := range f.Configuration().Servers {
		member := Member{ID: string(m.ID), Raft: string(m.Address), Leader: m.ID == leader,
			Voter: m.Suffrage == raft.Voter, Reached: c.cons.reached(m.ID, c.cfg.ID, c.cfg.Timing)}
		if w, ok := c.cons.transport.(*watched); ok && member.Reached && string(m.ID) != c.cfg.ID {
			member.Behind = s.LastIndex - min(s.LastIndex, w.heard(m.ID).last)
		}
		member.HTTP = addresses[member.ID]
		s.Members = append(s.Members, member)
	}
	return s, nil
}
