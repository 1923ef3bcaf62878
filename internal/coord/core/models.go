package core

import (
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/job"
)

// A cluster serves the models that its nodes have, each under its name. They are replicated, since
// jobs are checked and planned by them; which node has which, and which is loaded, is the leader's
// memory, as all else of nodes is.

// setModel takes a new model, or one that succeeds that of its name. Another one takes its place
// only where that is asked for, while no job of it waits or runs.
func (s *state) setModel(c command) error {
	m := c.Model
	if m == nil {
		return fmt.Errorf("cannot apply an incomplete %s command", kindModel)
	}
	if err := m.Check(); err != nil {
		return fmt.Errorf("cannot apply a %s command: %w", kindModel, err)
	}

	old, known := s.models.Named(m.Name)
	needed := s.needed(m.Name)
	if c.Version < modelsSince {
		old, known = s.only()
		needed = len(s.index.live) > 0
	}

	switch {
	case !known && len(s.models) >= job.ModelsLimit:
		return fmt.Errorf("this cluster serves %d models, and takes no more", len(s.models))
	case m.Succeeds(old), c.Replace && !needed:
		if c.Version < modelsSince {
			s.models = nil
		}
		s.models = s.models.With(*m)
	case old.Fingerprint != m.Fingerprint:
		return fmt.Errorf("this cluster serves model %q (fingerprint %.12s), not %q (%.12s); to change "+
			"it, stop its shards and let its jobs end, or use another data directory", old.Name,
			old.Fingerprint, m.Name, m.Fingerprint)
	}
	return nil
}

// only returns the model of a cluster that has one, as those of earlier versions had.
func (s *state) only() (job.Model, bool) {
	if len(s.models) == 0 {
		return job.Model{}, false
	}
	return s.models[0], true
}

// modelFor returns the model of a spec in a command of a version, zero if it is not known.
func (s *state) modelFor(version int, spec job.Spec) job.Model {
	if version < modelsSince {
		m, _ := s.only()
		return m
	}
	m, _ := s.models.Named(spec.Model)
	return m
}

// needed reports whether a job of a model waits or runs.
func (s *state) needed(model string) bool {
	return slices.ContainsFunc(s.index.live, func(j *liveJob) bool {
		return j.r.Spec.Model == model
	})
}

// forgetModels drops those of the models that no job needs.
func (s *state) forgetModels(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("cannot apply an incomplete %s command", kindForget)
	}
	for _, name := range names {
		if !s.needed(name) {
			s.models = s.models.Without(name)
		}
	}
	return nil
}
