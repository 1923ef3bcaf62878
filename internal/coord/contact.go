package coord

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/job"
)

// watched is Raft's transport, which notes what the others answer to this leader's heartbeats:
// Raft's own API says when a follower last heard from the leader, but not the reverse.
type watched struct {
	*raft.NetworkTransport
	own raft.ServerID

	mu       sync.Mutex
	contacts map[raft.ServerID]contact
}

// contact is the latest answer of another coordinator to an append of this leader.
type contact struct {
	at   time.Time
	last uint64 // index of the last entry of its log
}

var (
	_ raft.Transport   = (*watched)(nil)
	_ raft.WithPreVote = (*watched)(nil)
	_ raft.WithClose   = (*watched)(nil)
)

// AppendEntries implements raft.Transport. Raft also sends an append without entries as a
// heartbeat, several times per election timeout, so every member that lives is noted.
func (w *watched) AppendEntries(id raft.ServerID, to raft.ServerAddress,
	q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
	err := w.NetworkTransport.AppendEntries(id, to, q, a)
	if err == nil {
		w.mu.Lock()
		w.contacts[id] = contact{time.Now(), a.LastLog}
		w.mu.Unlock()
	}
	return err
}

// heard returns the latest answer of a coordinator, zero if it has never answered.
func (w *watched) heard(id raft.ServerID) contact {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.contacts[id]
}

// greet asks the coordinator at an address who it is. Nothing changes there: the question is that
// of a candidate in term 0, who cannot win.
func (w *watched) greet(to string) (id string, err error) {
	h := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(w.own),
		Addr: w.EncodePeer(w.own, w.LocalAddr())}
	q := &raft.RequestPreVoteRequest{RPCHeader: h}
	var a raft.RequestPreVoteResponse
	if err := w.RequestPreVote("", raft.ServerAddress(to), q, &a); err != nil {
		return "", err
	}
	return string(a.ID), nil
}

// Limits of what a leader takes for the state of another coordinator.
const (
	contactMin  = 2 * time.Second // without an answer: it is out of reach
	behindMost  = 100             // entries that a member may lack that has caught up
	joiningMost = 3               // members at a time that have not caught up
)

// reached reports whether a member has answered lately. own is the id of this coordinator, which
// reaches itself.
func (c *consensus) reached(id raft.ServerID, own string, t Timing) bool {
	if string(id) == own {
		return true
	}
	w, ok := c.transport.(*watched)
	return ok && time.Since(w.heard(id).at) < max(contactMin, 4*t.Election)
}

// reach wants the coordinator that is to be added to answer at its address, under its name. A
// typing error in an address would otherwise become a member that never catches up.
func (c *Coordinator) reach(p Peer) error {
	w, ok := c.cons.transport.(*watched)
	if !ok {
		return nil
	}
	id, err := w.greet(p.Raft)
	if err != nil {
		return invalidMember("raft_address", p.Raft, fmt.Sprintf("where a coordinator that runs with "+
			"raft.join answers; this one is out of reach: %.200v", err))
	}
	if id != p.ID {
		return invalidMember("id", p.ID, fmt.Sprintf("%q, which is who answers at %.64s", id, p.Raft))
	}
	return nil
}

// keepsQuorum wants a majority of the voters that are left without a member to be in reach. Of
// three members of which one is dead, removing one that lives would leave two that cannot decide
// anything.
func (c *Coordinator) keepsQuorum(without string) error {
	servers, err := c.cons.servers()
	if err != nil {
		return err
	}

	// A member that does not vote may go at any time. Otherwise count those that are left.
	voters, reached := 0, 0
	for _, s := range servers {
		if string(s.ID) == without && s.Suffrage != raft.Voter {
			return nil
		}
		if string(s.ID) == without || s.Suffrage != raft.Voter {
			continue
		}
		if voters++; c.cons.reached(s.ID, c.cfg.ID, c.cfg.Timing) {
			reached++
		}
	}

	if reached < voters/2+1 {
		return &job.FieldError{Field: "id", Value: fmt.Sprintf("%.64q", without), Allowed: fmt.Sprintf(
			"a member without which a majority is in reach: of %d others that vote, %d are; bring them "+
				"back or remove them first, or use --force", voters, reached)}
	}
	return nil
}

// servers returns the members of the latest configuration.
func (c *consensus) servers() ([]raft.Server, error) {
	f := c.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, fmt.Errorf("cannot read the members: %w", err)
	}
	return f.Configuration().Servers, nil
}

// caughtUp reports whether a member that is in reach has nearly all of the log.
func (c *consensus) caughtUp(id raft.ServerID, t Timing) bool {
	w, ok := c.transport.(*watched)
	return ok && c.reached(id, "", t) && w.heard(id).last+behindMost >= c.raft.LastIndex() &&
		w.heard(id).last > 0
}

// promote lets members vote that have caught up, one at a time; in the loop. Those that have not
// are no part of any majority, and cannot stop the cluster.
func (c *Coordinator) promote() {
	if c.cfg.alone() || c.promoting {
		return
	}

	servers, err := c.cons.servers()
	if err != nil {
		return
	}
	for _, s := range servers {
		if s.Suffrage != raft.Nonvoter || !c.cons.caughtUp(s.ID, c.cfg.Timing) {
			continue
		}

		c.promoting = true
		ctx := c.term.ctx
		c.goPost(func() func() {
			c.letVote(ctx, s)
			return func() { c.promoting = false }
		})
		return
	}
}

// letVote makes a member a voter.
func (c *Coordinator) letVote(ctx context.Context, s raft.Server) {
	f := c.cons.raft.AddVoter(s.ID, s.Address, 0, c.cfg.Timing.Apply)
	if err := f.Error(); err != nil {
		c.log.Warn("cannot let a coordinator vote", "id", s.ID, "error", err)
		return
	}
	c.log.Info("coordinator votes", "id", s.ID, "raft", s.Address)
	c.resize(ctx)
}

// greeting is reach, for as long as ctx allows: the other coordinator may not answer at all.
func (c *Coordinator) greeting(ctx context.Context, p Peer) error {
	done := make(chan error, 1)
	c.wg.Go(func() { done <- c.reach(p) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
