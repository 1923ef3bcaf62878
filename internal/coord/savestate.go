package coord

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// SaveSnapshot implements Service. It asks a majority first, so that what it writes is not older
// than what another leader has acknowledged. That somebody has it is written down before.
func (c *Coordinator) SaveSnapshot(ctx context.Context, w io.Writer) error {
	if err := c.confirmed(); err != nil {
		return err
	}
	if err := c.note(ctx, event(ctx, "snapshot.save", "", nil)); err != nil {
		return err
	}
	s, err := look(c, c.core.Snapshot)
	if err != nil {
		return err
	}
	return s.WithoutSecrets().Write(w)
}

// RestoreSnapshot implements Service. What it restores is checked here, all of it, since every
// coordinator would stop that cannot take it. The audit log goes on: it says who has restored what.
func (c *Coordinator) RestoreSnapshot(ctx context.Context, r io.Reader) error {
	if err := c.leading(); err != nil {
		return err
	}
	if !c.restoring.TryLock() {
		return fmt.Errorf("%w: another one is being restored", ErrSnapshot)
	}
	defer c.restoring.Unlock()

	// That it is tried is written down before, so that nothing is restored of which the log says
	// nothing; whether it was done comes after.
	trial, sum, err := c.readSnapshot(r)
	done := event(ctx, "snapshot.restore", sum, nil)
	if err == nil {
		done.Details = map[string]string{"jobs": strconv.Itoa(len(trial.Records(nil)))}
		began := done
		began.Outcome = audit.Started
		if err := c.note(ctx, began); err != nil {
			return err
		}
		err = c.restore(trial)
	}

	if err != nil {
		return c.noteFailed(ctx, "snapshot.restore", sum, err)
	}

	c.log.Info("a snapshot was restored", "jobs", len(trial.Records(nil)))
	if err := c.note(ctx, done); err != nil {
		c.log.Warn("cannot write down that a snapshot was restored", "error", err)
	}
	return nil
}

// readSnapshot reads a snapshot that this cluster can be replaced by, and its SHA-256.
func (c *Coordinator) readSnapshot(r io.Reader) (trial *core.Machine, sum string, err error) {
	// One byte more than is allowed, to tell a snapshot of that size from a larger one.
	data, err := io.ReadAll(io.LimitReader(r, SnapshotMax+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("cannot read the snapshot: %w", err)
	case len(data) > SnapshotMax:
		return nil, "", fmt.Errorf("%w: it is larger than %d bytes", ErrSnapshot, SnapshotMax)
	}
	sum = fmt.Sprintf("sha256:%x", sha256.Sum256(data))

	// Raft would take any bytes, and every coordinator would stop when it restores them.
	trial, err = core.ReadSnapshot(bytes.NewReader(data))
	if err != nil {
		return nil, sum, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}

	// What the cluster is of already, all of them read, also those that were not heard lately.
	var have job.Models
	var version int
	c.loop.read(func() { have, version = c.core.Machine().Models(), c.core.Machine().Version() })
	if most, missing := c.speaks(); trial.Version() > max(most, version) {
		return nil, sum, fmt.Errorf("%w: it is of version %d, which not all coordinators read: %s",
			ErrSnapshot, trial.Version(), missing)
	}
	return trial, sum, sameModels(have, trial.Models())
}

// restore makes a snapshot the state of all coordinators, but for what must not go back. Nothing is
// committed meanwhile: entries would be lost of which clients have heard, and the audit log with
// them.
func (c *Coordinator) restore(trial *core.Machine) error {
	c.committing.Lock()
	defer c.committing.Unlock()
	if err := c.confirmed(); err != nil {
		return err
	}

	// Nothing can be added to the chain from here on, so its end is that of the files.
	c.loop.read(func() { trial.Succeed(c.core.Machine()) })

	// It is written again, with the end of the chain as it is now and the secret that hashes prompts.
	s, err := trial.Snapshot()
	if err != nil {
		return err
	}
	var data bytes.Buffer
	if err := s.Write(&data); err != nil {
		return err
	}

	// Raft sends it to all members as if it were theirs, and continues its log after it.
	meta := &raft.SnapshotMeta{Version: 1, Size: int64(data.Len())}
	if err := c.cons.raft.Restore(meta, &data, c.cfg.Timing.Apply); err != nil {
		return fmt.Errorf("cannot restore: %w", c.leadershipError(err))
	}
	return nil
}
