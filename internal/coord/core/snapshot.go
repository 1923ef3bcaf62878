package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/rollout"
)

// SnapshotMax bounds a snapshot, in bytes.
const SnapshotMax = 1 << 30

// Snapshot is a machine's state at one index, as it is written. It shares nothing that changes with
// the machine, so it may be written on another goroutine.
type Snapshot struct {
	Version int          `json:"v"`
	Cluster string       `json:"cluster,omitempty"` // id of the cluster
	Models  job.Models   `json:"models,omitempty"`
	Jobs    []job.Record `json:"jobs"` // by creation
	Trash   []trash      `json:"trash"`
	Drains  []Drain      `json:"drains,omitempty"` // by node

	Members map[string]string `json:"members,omitempty"`
	Access  *accessState      `json:"access,omitempty"`
	Audit   *auditState       `json:"audit,omitempty"`
	Usage   *usageSnapshot    `json:"usage,omitempty"`

	Rollouts []rollout.Rule `json:"rollouts,omitempty"` // by name

	Shares    *sharesState `json:"shares,omitempty"`
	Authority *Authority   `json:"authority,omitempty"`

	// Model is the only one of a snapshot of before modelsSince.
	Model *job.Model `json:"model,omitempty"`
}

// Snapshot copies the state. Equal states give equal bytes. A machine that has stopped has none.
func (m *Machine) Snapshot() (*Snapshot, error) {
	if m.stopped != nil {
		return nil, fmt.Errorf("cannot take a snapshot: %w", m.stopped)
	}
	s := &Snapshot{Version: m.Version(), Cluster: m.state.cluster, Models: m.state.models,
		Trash: slices.Clone(m.state.trash), Members: maps.Clone(m.state.members),
		Access: m.state.access.snapshot(), Shares: m.state.shares.copy(),
		Audit: m.state.audit.snapshot(), Usage: m.state.usage.snapshot(),
		Rollouts: m.Rollouts(), Authority: m.state.authority}
	for _, id := range m.state.order {
		s.Jobs = append(s.Jobs, *m.state.jobs[id])
	}
	for _, id := range slices.Sorted(maps.Keys(m.state.drains)) {
		s.Drains = append(s.Drains, m.state.drains[id])
	}
	return s, nil
}

// Write writes the snapshot as JSON.
func (s *Snapshot) Write(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(s); err != nil {
		return fmt.Errorf("cannot write a snapshot: %w", err)
	}
	return nil
}

// ReadSnapshot returns the machine of a snapshot, once it has checked all of it. The error wraps
// ErrCorrupt if these are not the bytes of a snapshot, and is or wraps a *job.FieldError if no
// commands can have led to what they say.
func ReadSnapshot(r io.Reader) (*Machine, error) {
	var s Snapshot
	d := json.NewDecoder(io.LimitReader(r, SnapshotMax))
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("cannot read a snapshot: %w: %w", ErrCorrupt, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read a snapshot: %w: it continues after its end", ErrCorrupt)
	}
	if s.Version < 1 || s.Version > commandVersion {
		return nil, fmt.Errorf("cannot read a snapshot of version %d; known: 1 to %d", s.Version,
			commandVersion)
	}

	if s.Model != nil && s.Version < modelsSince && s.Model.Fingerprint != "" {
		s.Models = job.Models{*s.Model}
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("cannot use a snapshot: %w", err)
	}

	m := NewMachine()
	if s.Version > VersionFirst {
		m.state.version = s.Version
	}
	for _, r := range s.Rollouts {
		m.state.rollouts[r.Name] = r
	}
	if s.Audit != nil {
		m.state.audit = *s.Audit
	}
	m.state.cluster, m.state.models, m.state.trash = s.Cluster, s.Models, s.Trash
	for _, r := range s.Jobs {
		m.state.add(r)
	}
	maps.Copy(m.state.members, s.Members)
	if s.Shares != nil {
		m.state.shares = s.Shares.fresh()
	}
	if s.Access != nil {
		m.state.access = *s.Access
	}
	m.state.usage.restore(s.Usage)
	m.state.authority = s.Authority
	for _, d := range s.Drains {
		m.state.drains[d.Node] = d
	}
	return m, nil
}
