package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/job"
)

// replicasMax is the most copies that JetStream keeps.
const replicasMax = 5

// snapshotMax bounds a snapshot that is restored, in bytes.
const snapshotMax = 1 << 30

// AddMember implements Service.
func (c *Coordinator) AddMember(ctx context.Context, p Peer) (Status, error) {
	if err := c.checkMember(p); err != nil {
		return Status{}, err
	}
	if _, err := c.commit(command{Kind: kindMember, Member: &p}); err != nil {
		return Status{}, err
	}
	f := c.cons.raft.AddVoter(raft.ServerID(p.ID), raft.ServerAddress(p.Raft), 0, c.cfg.Timing.Apply)
	if err := f.Error(); err != nil {
		return Status{}, fmt.Errorf("cannot add coordinator %s: %w", p.ID, c.officeError(err))
	}
	c.log.Info("coordinator added", "id", p.ID, "raft", p.Raft)
	c.wg.Go(c.resize)
	return c.Status(ctx)
}

// checkMember refuses what cannot be a further member.
func (c *Coordinator) checkMember(p Peer) error {
	if _, err := c.leader(); err != nil {
		return err
	}
	if c.cfg.alone() {
		return fmt.Errorf("%w: this coordinator was started alone, without raft.peers; a cluster of "+
			"several starts with its own data directories", ErrAlone)
	}
	if !idPattern.MatchString(p.ID) {
		return invalidMember("id", p.ID, "1 to 64 letters, digits, - and _")
	}
	if _, _, err := net.SplitHostPort(p.Raft); err != nil {
		return invalidMember("raft_address", p.Raft, "host:port")
	}
	if u, err := url.Parse(p.HTTP); p.HTTP != "" && (err != nil || u.Host == "") {
		return invalidMember("http_address", p.HTTP, "a URL such as http://host:8080")
	}
	return nil
}

// RemoveMember implements Service.
func (c *Coordinator) RemoveMember(ctx context.Context, id string) (Status, error) {
	if _, err := c.leader(); err != nil {
		return Status{}, err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return s, err
	}
	known := false
	for _, m := range s.Members {
		known = known || m.ID == id
	}
	switch {
	case !known:
		return s, fmt.Errorf("coordinator %.64q: %w", id, ErrNotFound)
	case len(s.Members) == 1:
		return s, fmt.Errorf("%w: %s is the last one", ErrAlone, id)
	case id == c.cfg.ID:
		return s, invalidMember("id", id, "another one than the leader; transfer the leadership first")
	}
	f := c.cons.raft.RemoveServer(raft.ServerID(id), 0, c.cfg.Timing.Apply)
	if err := f.Error(); err != nil {
		return s, fmt.Errorf("cannot remove coordinator %s: %w", id, c.officeError(err))
	}
	c.log.Info("coordinator removed", "id", id)
	c.wg.Go(c.resize)
	if _, err := c.commit(command{Kind: kindMember, Member: &Peer{ID: id}}); err != nil {
		return s, err
	}
	return c.Status(ctx)
}

// TransferLeader implements Service.
func (c *Coordinator) TransferLeader(ctx context.Context, to string) (Status, error) {
	if _, err := c.leader(); err != nil {
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
		transfer = func() raft.Future {
			return c.cons.raft.LeadershipTransferToServer(raft.ServerID(to),
				raft.ServerAddress(s.Members[i].Raft))
		}
	}
	if err := transfer().Error(); err != nil {
		return s, fmt.Errorf("cannot hand the leadership over: %w", err)
	}
	return c.Status(ctx)
}

// SaveSnapshot implements Service.
func (c *Coordinator) SaveSnapshot(_ context.Context, w io.Writer) error {
	if _, err := c.leader(); err != nil {
		return err
	}
	if err := c.cons.verify(); err != nil {
		return c.officeError(err)
	}
	s, err := c.fsm.Snapshot()
	if err != nil {
		return err
	}
	return s.(*snapshot).write(w)
}

// RestoreSnapshot implements Service.
func (c *Coordinator) RestoreSnapshot(_ context.Context, r io.Reader) error {
	if _, err := c.leader(); err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(r, snapshotMax+1))
	switch {
	case err != nil:
		return fmt.Errorf("cannot read the snapshot: %w", err)
	case len(data) > snapshotMax:
		return fmt.Errorf("%w: it is larger than %d bytes", ErrSnapshot, snapshotMax)
	}
	trial := &fsm{state: newState()}
	if err := trial.Restore(io.NopCloser(bytes.NewReader(data))); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	have, read := c.fsm.model(), trial.model()
	if have.Fingerprint != "" && read.Fingerprint != have.Fingerprint && !have.Succeeds(read) {
		return fmt.Errorf("%w: it is of a cluster that serves %q, this one serves %q", ErrSnapshot,
			read.Name, have.Name)
	}
	meta := &raft.SnapshotMeta{Version: 1, Size: int64(len(data))}
	if err := c.cons.raft.Restore(meta, bytes.NewReader(data), c.cfg.Timing.Apply); err != nil {
		return fmt.Errorf("cannot restore: %w", c.officeError(err))
	}
	c.log.Info("a snapshot was restored", "jobs", len(trial.all(nil)))
	return nil
}

func invalidMember(field, value, allowed string) error {
	return &job.FieldError{Field: field, Value: fmt.Sprintf("%.64q", value), Allowed: allowed}
}

// officeError turns Raft's refusals of one who does not lead into ours.
func (c *Coordinator) officeError(err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) {
		return c.notLeader()
	}
	return err
}

// addresses returns the HTTP addresses that are known, by id: those of members that were added come
// from the log, those of the first ones from the configuration.
func (c *Coordinator) addresses() map[string]string {
	out := c.fsm.members()
	for _, p := range c.cfg.Raft.Peers {
		if out[p.ID] == "" {
			out[p.ID] = p.HTTP
		}
	}
	if out[c.cfg.ID] == "" {
		out[c.cfg.ID] = c.cfg.HTTP
	}
	return out
}
