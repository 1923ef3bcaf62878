package shard

import (
	"fmt"

	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/wire"
)

// judge refuses an order that the model of this shard cannot carry out. A leader has checked the
// same before, but anyone who reaches the coordinators' NATS can send an order.
func (s *Shard) judge(o wire.StartOrder) error {
	p := o.Plan
	if err := s.info.CheckSpec(p.Spec); err != nil {
		return fmt.Errorf("shard %s refuses the order: %w", s.cfg.Name, err)
	}
	if err := plan.Check(s.info, p.Spec, p.Mesh); err != nil {
		return fmt.Errorf("shard %s refuses the order: mesh is %s; allowed: %w", s.cfg.Name, p.Mesh,
			err)
	}
	return nil
}
