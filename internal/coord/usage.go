package coord

import (
	"context"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/coord/core"
)

// Accounting is what an operator's billing asks. It reads; what there is to read is written with
// the decisions that end attempts.

// Accounting says what clips have used and cost.
type Accounting interface {
	// Usage returns what jobs have used on days from one to another, both included and in UTC as
	// 2006-01-02; "" for either: without that end. To a principal that is no admin these are its own
	// jobs alone. names are those of keys that own some of them.
	Usage(ctx context.Context, from, to string) (rows []UsageRow, names map[string]string, err error)
}

// UsageRow is what jobs of one owner, team, model, kind of device and day have used.
type UsageRow = core.UsageRow

// Usage implements Service.
func (c *Coordinator) Usage(ctx context.Context, from, to string) (rows []UsageRow,
	names map[string]string, err error) {
	if err := c.confirmed(); err != nil {
		return nil, nil, err
	}
	p, known := access.From(ctx)
	names = map[string]string{}

	rows, err = look(c, func() (rows []UsageRow, err error) {
		for _, r := range c.core.Usage(from, to) {
			if known && !p.Owns(r.Owner) {
				continue
			}
			rows = append(rows, r)
			if name := c.core.KeyName(r.Owner); name != "" {
				names[r.Owner] = name
			}
		}
		return rows, nil
	})
	return rows, names, err
}
