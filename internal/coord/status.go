package coord

import (
	"context"
	"fmt"
	"strconv"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/rollout"
)

// Model implements Service.
func (c *Coordinator) Model(_ context.Context, name string) (m job.Model, err error) {
	c.loop.read(func() { m, err = c.core.Machine().Model(name) })
	return m, err
}

// Models implements Service.
func (c *Coordinator) Models(ctx context.Context) (all []ServedModel) {
	w := who(ctx)
	c.loop.read(func() {
		for _, m := range c.core.Served() {
			if ok, _ := c.core.Machine().MayUse(rollout.ModelPrefix+m.Name, w); ok || w.Admin {
				all = append(all, m)
			}
		}
	})
	return all
}

// Ready implements Service. A follower is ready while a leader is known, to which it sends clients.
func (c *Coordinator) Ready(context.Context) error {
	if err := c.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}

	// Between the election and the subscriptions a node that registers would not be heard.
	var inTerm, listening bool
	c.loop.read(func() { inTerm, listening = c.term != nil, c.term != nil && c.term.listening })
	switch {
	case inTerm && !listening:
		return fmt.Errorf("%w: it does not hear the shards yet", ErrNotReady)
	case !inTerm:
		if e := c.notLeader().(*NotLeaderError); e.ID == "" { //nolint:errorlint // its own
			return fmt.Errorf("%w: no leader is elected", ErrNotReady)
		}
	}

	// Everything else is the same on a leader and on a follower, which may lead next.
	if !c.broker.conn.IsConnected() {
		return fmt.Errorf("%w: NATS is down", ErrNotReady)
	}
	if c.objects.Load() == nil {
		return fmt.Errorf("%w: the object store is not open yet", ErrNotReady)
	}
	return nil
}

// Status implements Service. A follower answers, too, as far as it knows; only the leader knows
// which members are in reach.
func (c *Coordinator) Status(context.Context) (Status, error) {
	r := c.cons.raft
	_, leader := r.LeaderWithID()
	s := Status{ID: c.cfg.ID, State: r.State().String(), Leader: string(leader),
		LastIndex: r.LastIndex(), Applied: r.AppliedIndex(), NATS: c.ClientURL(),
		Version: c.cfg.Version, Space: c.space.seen()}
	if c.cfg.Pricing != nil {
		s.Pricing = c.cfg.Pricing.Hash
	}
	s.Term, _ = strconv.ParseUint(r.Stats()["term"], 10, 64)
	leads := false
	c.loop.read(func() {
		m := c.core.Machine()
		s.Model, _ = m.Models().Default()
		for _, served := range m.Models() {
			s.Models = append(s.Models, served.Name)
		}
		s.Queued, s.Running, s.Jobs = m.Counts()
		s.Nodes = c.core.NodeCount()
		s.Commands = m.Version()
		leads = c.core.Leads()
	})
	if leads && s.Commands < c.cfg.Commands {
		_, s.Upgrading = c.speaks()
	}

	// A member is as far behind as its last answer to an append says; a follower gets no answers.
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
