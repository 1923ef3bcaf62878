package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// replicasMax is the most copies of a stream that JetStream keeps. More coordinators than that
// still hold all of Raft's log.
const replicasMax = 5

// AddMember implements Service. The new member takes part in no majority until it has what the
// others have; then promote lets it vote. Repeating a call that succeeded changes nothing.
func (c *Coordinator) AddMember(ctx context.Context, p Peer) (Status, error) {
	s, err := c.addMember(ctx, p)
	if err != nil {
		err = c.noteFailed(ctx, "member.add", p.ID, err)
	}
	return s, err
}

func (c *Coordinator) addMember(ctx context.Context, p Peer) (Status, error) {
	if err := c.checkMember(p); err != nil {
		return Status{}, err
	}
	there, err := c.known(p)
	if err != nil {
		return Status{}, err
	}
	if err := c.greeting(ctx, p); err != nil {
		return Status{}, err
	}

	// Where its API is comes first: a follower that is added must know where to send clients.
	if err := doErr(ctx, c, func() error { return c.core.RecordMember(p) }); err != nil {
		return Status{}, err
	}
	if there {
		return c.Status(ctx)
	}

	// It gets no vote before it has the log: with one, a member that cannot be reached would count.
	f := c.cons.raft.AddNonvoter(raft.ServerID(p.ID), raft.ServerAddress(p.Raft), 0,
		c.cfg.Timing.Apply)
	if err := f.Error(); err != nil {
		return Status{}, fmt.Errorf("cannot add coordinator %s: %w", p.ID, c.leadershipError(err))
	}
	c.log.Info("coordinator added; it votes once it has caught up", "id", p.ID, "raft", p.Raft)
	return c.Status(ctx)
}

// checkMember refuses what could not be a member of any cluster of this one's kind.
func (c *Coordinator) checkMember(p Peer) error {
	if err := c.leading(); err != nil {
		return err
	}
	if c.cfg.alone() {
		return fmt.Errorf("%w: this coordinator was started alone, without raft.peers; a cluster of "+
			"several starts with its own data directories", ErrAlone)
	}
	return cmp.Or(core.CheckAddress(p.ID, p.HTTP), checkHostPort(p.Raft))
}

// known reports whether a member is there already just as it is to be added, which then is no
// error. It refuses one whose name or address another member has, and more than joiningMost members
// that have not caught up: each of them is sent a snapshot and the log.
func (c *Coordinator) known(p Peer) (bool, error) {
	servers, err := c.cons.servers()
	if err != nil {
		return false, err
	}

	// joining counts those that are members and do not vote yet.
	joining := 0
	for _, s := range servers {
		switch {
		case string(s.ID) == p.ID && string(s.Address) == p.Raft:
			return true, nil
		case string(s.ID) == p.ID:
			return false, invalidMember("raft_address", p.Raft, fmt.Sprintf("%s, which member %s has; to "+
				"change it, remove the member first", s.Address, s.ID))
		case string(s.Address) == p.Raft:
			return false, invalidMember("raft_address", p.Raft, fmt.Sprintf("another one than that of "+
				"member %s", s.ID))
		case s.Suffrage != raft.Voter:
			joining++
		}
	}

	if joining >= joiningMost {
		return false, invalidMember("id", p.ID, fmt.Sprintf("none at present: %d members have not "+
			"caught up yet; wait for them or remove them", joining))
	}
	return false, nil
}

// RemoveMember implements Service. The member may be out of reach for good: it is not asked. Raft
// and JetStream each take it out of their own list.
func (c *Coordinator) RemoveMember(ctx context.Context, id string, force bool) (Status, error) {
	s, err := c.removeMember(ctx, id, force)
	if err != nil {
		err = c.noteFailed(ctx, "member.remove", id, err)
	}
	return s, err
}

func (c *Coordinator) removeMember(ctx context.Context, id string, force bool) (Status, error) {
	if err := c.leading(); err != nil {
		return Status{}, err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return s, err
	}

	// The leader would remove itself and resign before it could answer.
	known := slices.ContainsFunc(s.Members, func(m Member) bool { return m.ID == id })
	switch {
	case !known:
		return s, fmt.Errorf("coordinator %.64q: %w", id, ErrNotFound)
	case len(s.Members) == 1:
		return s, fmt.Errorf("%w: %s is the last one", ErrAlone, id)
	case id == c.cfg.ID:
		return s, invalidMember("id", id, "another one than the leader; transfer the leadership first")
	}
	if err := c.keepsQuorum(id); err != nil && !force {
		return s, err
	}

	f := c.cons.raft.RemoveServer(raft.ServerID(id), 0, c.cfg.Timing.Apply)
	if err := f.Error(); err != nil {
		return s, fmt.Errorf("cannot remove coordinator %s: %w", id, c.leadershipError(err))
	}
	c.log.Info("coordinator removed", "id", id)

	// Fewer coordinators keep fewer copies. JetStream may take long for that, so nobody waits.
	c.wg.Go(func() { c.resize(context.WithoutCancel(ctx)) })
	err = doErr(ctx, c, func() error { return c.core.RecordMember(Peer{ID: id}) })
	if err != nil {
		return s, err
	}
	return c.Status(ctx)
}

// TransferLeader implements Service. Raft brings the next leader up to date before this one
// resigns, so no acknowledged decision is lost; clients are sent to it afterwards.
func (c *Coordinator) TransferLeader(ctx context.Context, to string) (Status, error) {
	s, err := c.transferLeader(ctx, to)
	if err != nil {
		err = c.noteFailed(ctx, "leader.transfer", to, err)
	}
	return s, err
}

func (c *Coordinator) transferLeader(ctx context.Context, to string) (Status, error) {
	if err := c.leading(); err != nil {
		return Status{}, err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return s, err
	}

	transfer := c.cons.raft.LeadershipTransfer
	if to != "" {
		i := slices.IndexFunc(s.Members, func(m Member) bool { return m.ID == to })
		if i < 0 {
			return s, fmt.Errorf("coordinator %.64q: %w", to, ErrNotFound)
		}
		if !s.Members[i].Voter {
			return s, invalidMember("to", to, "a member that votes; this one has not caught up")
		}
		transfer = func() raft.Future {
			return c.cons.raft.LeadershipTransferToServer(raft.ServerID(to),
				raft.ServerAddress(s.Members[i].Raft))
		}
	}

	// Whoever has handed over has no say any more, so this is written down before.
	began := event(ctx, "leader.transfer", to, nil)
	began.Outcome = audit.Started
	if err := c.note(ctx, began); err != nil {
		return s, err
	}
	if err := transfer().Error(); err != nil {
		return s, fmt.Errorf("cannot hand the leadership over: %w", err)
	}
	return c.Status(ctx)
}

// sameModels refuses what a snapshot says of models where the cluster has others: others of the
// same names, or no model that both know.
func sameModels(have, read job.Models) error {
	if len(have) == 0 || len(read) == 0 {
		return nil
	}

	known := false
	for _, m := range read {
		own, ok := have.Named(m.Name)
		if ok && own.Fingerprint != m.Fingerprint && !own.Succeeds(m) {
			return fmt.Errorf("%w: it is of a cluster with other weights under the name %q", ErrSnapshot,
				m.Name)
		}
		known = known || ok
	}
	if !known {
		return fmt.Errorf("%w: it is of a cluster that serves %q, this one serves %q", ErrSnapshot,
			read[0].Name, have[0].Name)
	}
	return nil
}

// invalidMember is what a client is told of a member that cannot be added, removed or made leader.
func invalidMember(field, value, allowed string) error {
	return &job.FieldError{Field: field, Value: fmt.Sprintf("%.64q", value), Allowed: allowed}
}

// leadershipError turns what Raft says where this coordinator does not lead into a *NotLeaderError,
// which names the leader; other errors stay as they are.
func (c *Coordinator) leadershipError(err error) error {
	if errors.Is(err, ErrNotLeader) || errors.Is(err, raft.ErrNotLeader) ||
		errors.Is(err, raft.ErrLeadershipLost) {
		return c.notLeader()
	}
	return err
}

// checkHostPort refuses an address that other coordinators could not dial.
func checkHostPort(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || len(address) > core.AddressMax {
		return invalidMember("raft_address", address, "host:port")
	}
	return nil
}
