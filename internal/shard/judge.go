package shard

import (
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/wire"
)

// judge refuses an order that the model of this shard cannot carry out. Who sends it has been asked
// for the same; but anyone who reaches the coordinators' NATS can send one.
func (s *Shard) judge(o wire.Start) error {
	p := o.Plan
	if err := s.info.CheckSpec(p.Spec); err != nil {
		return fmt.Errorf("shard %s refuses the order: %w", s.cfg.Name, err)
	}
	load := partition.Load{Timeline: engine.Timeline(engine.LatentGrid(s.folder, p.Spec), p.Spec),
		Heads: s.info.Heads, HeadDim: s.info.HeadDim, Layers: s.info.Layers, Guided: p.Spec.Guided()}
	err := partition.Check(partition.Mesh(p.Mesh), load)
	if err == nil && p.Spec.Long == job.LongExtend && p.Mesh.Window > 1 {
		err = errors.New("mesh: window 1, where windows are made one after the other")
	}
	if err != nil {
		return fmt.Errorf("shard %s refuses the order: %w", s.cfg.Name, err)
	}
	return nil
}
