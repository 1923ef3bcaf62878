package coord

import (
	"context"
	"strings"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/rollout"
)

// Rollouts says who may use which models and features yet.
type Rollouts interface {
	// Rollouts returns the rules, by name.
	Rollouts(ctx context.Context) ([]rollout.Rule, error)
	// MayUse tells whether a key may use a model or a feature, and why: owner is its id or its name,
	// or the id of a subject of an identity provider. ErrNotFound if it looks like a key and there is
	// none.
	MayUse(ctx context.Context, name, owner string) (RolloutVerdict, error)
	// SetRollout puts a rule in place of the one of its name, and returns it with its full name.
	// DeleteRollout takes one away: everybody may use what it was about. A *job.FieldError says what
	// is wrong with a name or a rule.
	SetRollout(ctx context.Context, r rollout.Rule) (rollout.Rule, error)
	DeleteRollout(ctx context.Context, name string) error
}

// RolloutVerdict says whether somebody may use something, and why.
type RolloutVerdict struct {
	Name    string // of the model or feature, in full
	Rule    *rollout.Rule
	Owner   string
	Allowed bool
	Why     string
}

// who is the client of a context, as rules know it.
func who(ctx context.Context) rollout.Who {
	p, from := access.From(ctx)
	return rollout.Who{Owner: p.ID, Name: p.Name, Team: p.Team, Admin: !from || p.Admin()}
}

// Rollouts implements Service.
func (c *Coordinator) Rollouts(context.Context) ([]rollout.Rule, error) {
	if err := c.confirmed(); err != nil {
		return nil, err
	}
	return look(c, func() ([]rollout.Rule, error) { return c.core.Machine().Rollouts(), nil })
}

// MayUse implements Service.
func (c *Coordinator) MayUse(_ context.Context, name, owner string) (RolloutVerdict, error) {
	if err := c.confirmed(); err != nil {
		return RolloutVerdict{}, err
	}

	// All of it in one look, so that rule and verdict are of the same moment.
	return look(c, func() (v RolloutVerdict, err error) {
		m := c.core.Machine()
		if v.Name, err = m.RolloutName(name); err != nil {
			return v, err
		}

		for _, r := range m.Rollouts() {
			if r.Name == v.Name {
				v.Rule = &r
			}
		}
		if owner == "" {
			return v, nil
		}

		// A key is known with its name and team, and a subject by its id alone.
		w := rollout.Who{Owner: owner}
		switch k, err := c.core.FindKey(owner); {
		case err == nil:
			w = rollout.Who{Owner: k.ID, Name: k.Name, Team: k.Team, Admin: k.Scopes.Has(access.Admin)}
		case !strings.HasPrefix(owner, "oidc_"):
			return v, err
		}

		v.Owner = w.Owner
		v.Allowed, v.Why = m.MayUse(v.Name, w)
		return v, nil
	})
}

// SetRollout implements Service.
func (c *Coordinator) SetRollout(ctx context.Context, r rollout.Rule) (rollout.Rule, error) {
	return doNow(ctx, c, func() (rollout.Rule, error) { return c.core.SetRollout(r) })
}

// DeleteRollout implements Service.
func (c *Coordinator) DeleteRollout(ctx context.Context, name string) error {
	return doErr(ctx, c, func() error { return c.core.DeleteRollout(name) })
}
