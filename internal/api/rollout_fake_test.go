package api

import (
	"context"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/rollout"
)

func (f *fake) Rollouts(context.Context) (out []rollout.Rule, err error) {
	return rollout.Sorted(f.rules), f.err
}

func (f *fake) MayUse(_ context.Context, name, owner string) (coord.RolloutVerdict, error) {
	v := coord.RolloutVerdict{Name: name, Owner: owner}
	if r, ok := f.rules[name]; ok {
		v.Rule = &r
		v.Allowed, v.Why = r.Allows(rollout.Who{Owner: owner})
	}
	return v, f.err
}

func (f *fake) SetRollout(_ context.Context, r rollout.Rule) (rollout.Rule, error) {
	if f.err == nil {
		f.rules = map[string]rollout.Rule{r.Name: r}
	}
	return r, f.err
}

func (f *fake) DeleteRollout(_ context.Context, name string) error {
	delete(f.rules, name)
	return f.err
}
