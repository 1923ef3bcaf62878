package coord

import (
	"context"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
)

// Quotas tells clients what they may have.
type Quotas interface {
	// Quota returns what the client of a context may have, and has of it.
	Quota(ctx context.Context) (schema.Quota, error)
	// TeamQuota returns what a team may have together, as far as this coordinator knows.
	TeamQuota(team string) access.Quota
}

// Quota implements Service.
func (c *Coordinator) Quota(ctx context.Context) (schema.Quota, error) {
	if err := c.confirmed(); err != nil {
		return schema.Quota{}, err
	}
	p, _ := access.From(ctx)
	return look(c, func() (schema.Quota, error) { return c.core.QuotaOf(p.ID, p.Team, p.Quota) })
}

// TeamQuota implements Service. It is asked for each request of a member of a team, so it does not
// ask the others whether there is a newer one.
func (c *Coordinator) TeamQuota(team string) (q access.Quota) {
	c.loop.read(func() {
		t, _ := c.core.Machine().Team(team)
		q = t.Quota
	})
	return q
}
