package core

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/rollout"
)

// kindRollout changes who may use a model or a feature.
const kindRollout kind = "rollout"

// rolloutsMost bounds the rules that are kept.
const rolloutsMost = 256

// rolloutChange puts a rule in place of the one of its name, or takes one away.
type rolloutChange struct {
	Rule *rollout.Rule `json:"rule,omitempty"`
	Gone string        `json:"gone,omitempty"` // the name of a rule
}

// setRollout changes a rule. Rules are replaced, never written through, so that a copy of the map
// is a snapshot.
func (s *state) setRollout(c command) error {
	switch ch := c.Rollout; {
	case ch != nil && ch.Rule != nil:
		if err := ch.Rule.Check(); err != nil {
			return err
		}
		if _, known := s.rollouts[ch.Rule.Name]; !known && len(s.rollouts) >= rolloutsMost {
			return &job.FieldError{Field: "name", Value: fmt.Sprintf("%.64q", ch.Rule.Name),
				Allowed: fmt.Sprintf("one that has a rule, as %d are kept; delete some", rolloutsMost)}
		}
		s.rollouts[ch.Rule.Name] = *ch.Rule
		return nil

	// That there is none is said, so that a typo does not pass for a rule that was taken away.
	case ch != nil && ch.Gone != "":
		if _, known := s.rollouts[ch.Gone]; !known {
			return fmt.Errorf("a rollout of %.64q: %w", ch.Gone, ErrNotFound)
		}
		delete(s.rollouts, ch.Gone)
		return nil
	}
	return fmt.Errorf("cannot apply an incomplete %s command", c.Kind)
}

// auditRollout describes a change of a rule, with the whole of it as it is from then on.
func auditRollout(_ *state, c command, _ job.Record) (action, object string,
	details map[string]string) {
	switch ch := c.Rollout; {
	case ch != nil && ch.Rule != nil:
		details = map[string]string{"percent": fmt.Sprint(ch.Rule.Percent)}
		for name, list := range map[string][]string{"keys": ch.Rule.Keys, "deny": ch.Rule.Deny} {
			if len(list) > 0 {
				details[name] = fmt.Sprintf("%q", list)
			}
		}
		return "rollout.set", ch.Rule.Name, details
	case ch != nil:
		return "rollout.delete", ch.Gone, nil
	}
	return "rollout.set", "", nil
}

// checkRollouts wants rules that commands can have led to, each name once.
func (s *Snapshot) checkRollouts() error {
	if len(s.Rollouts) > rolloutsMost {
		return &job.FieldError{Field: "rollouts", Value: fmt.Sprint(len(s.Rollouts)),
			Allowed: fmt.Sprintf("up to %d", rolloutsMost)}
	}

	// Each as a command wants it, and by itself under its name.
	names := map[string]bool{}
	for i, r := range s.Rollouts {
		place := fmt.Sprintf("rollouts[%d]", i)
		if err := r.Check(); err != nil {
			return at(place, err)
		}
		if names[r.Name] {
			return &job.FieldError{Field: place, Value: r.Name, Allowed: "a name that no other has"}
		}
		names[r.Name] = true
	}
	return nil
}

// Rollouts returns the rules about models and features, by name.
func (m *Machine) Rollouts() []rollout.Rule { return rollout.Sorted(m.state.rollouts) }

// MayUse reports whether somebody may use a model or a feature, and why.
func (m *Machine) MayUse(name string, w rollout.Who) (ok bool, why string) {
	r, ruled := m.state.rollouts[name]
	if !ruled {
		return true, "there is no rollout of " + name + ": everybody may use it"
	}
	return r.Allows(w)
}

// rolledOut returns a *rollout.Error for what a new job uses that its owner may not.
func (c *Core) rolledOut(a asker, s job.Spec) error {
	w := rollout.Who{Owner: a.owner, Team: a.team, Admin: a.admin}
	if c.by != nil {
		w.Name = c.by.Name
	}
	return rollout.Check(c.machine.state.rollouts, w, s)
}

// RolloutName returns the name that somebody means by name: that of a rule, of a feature, or of a
// model. The error is a *job.FieldError.
func (m *Machine) RolloutName(name string) (string, error) {
	if _, ruled := m.state.rollouts[name]; ruled {
		return name, nil
	}

	// A model that is gone still has its rule, under its bare name, too.
	var models []string
	for _, served := range m.state.models {
		models = append(models, served.Name)
	}
	for of := range m.state.rollouts {
		if model, is := strings.CutPrefix(of, rollout.ModelPrefix); is {
			models = append(models, model)
		}
	}
	return rollout.Resolve(name, models)
}

// SetRollout commits a rule, in place of the one of its name, and returns it with its full name.
// ErrNotLeader, ErrUpgrading, or a *job.FieldError.
func (c *Core) SetRollout(r rollout.Rule) (rollout.Rule, error) {
	if !c.Leads() {
		return r, ErrNotLeader
	}
	name, err := c.machine.RolloutName(r.Name)
	if err != nil {
		return r, err
	}
	r.Name = name
	if err := r.Check(); err != nil {
		return r, err
	}
	_, err = c.commit(command{Kind: kindRollout, Rollout: &rolloutChange{Rule: &r}})
	return r, err
}

// DeleteRollout commits that there is no rule of a name any more: everybody may use what it was
// about. ErrNotLeader, ErrUpgrading, ErrNotFound, or a *job.FieldError.
func (c *Core) DeleteRollout(name string) error {
	if !c.Leads() {
		return ErrNotLeader
	}
	name, err := c.machine.RolloutName(name)
	if err != nil {
		return err
	}
	_, err = c.commit(command{Kind: kindRollout, Rollout: &rolloutChange{Gone: name}})
	return err
}
