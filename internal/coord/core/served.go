package core

import (
	"slices"

	"github.com/longtake/longtake/internal/api/schema"
)

// Served returns the models of the cluster in their order, the default one marked. The leader says
// where they are.
func (c *Core) Served() []schema.ServedModel {
	var out []schema.ServedModel
	first, _ := c.machine.Models().Default()
	for _, m := range c.machine.Models() {
		s := schema.ServedModel{Model: m, Default: m.Name == first.Name}
		if c.lead != nil {
			s.Shards = c.lead.whereModel(m.Name)
		}
		out = append(out, s)
	}
	return out
}

// whereModel names the nodes that have a model, and says of which it is loaded and which are free.
func (l *leader) whereModel(name string) *schema.ModelShards {
	s := &schema.ModelShards{Have: []string{}, Loaded: []string{}, Loading: []string{},
		Free: []string{}}
	for _, n := range l.sortedNodes() {
		if !slices.Contains(n.models, name) {
			continue
		}
		s.Have = append(s.Have, n.reg.Name)
		if slices.Contains(n.loaded(), name) {
			s.Loaded = append(s.Loaded, n.reg.Name)
		}

		if n.beat.Loading == name {
			s.Loading = append(s.Loading, n.reg.Name)
		}

		_, drained := l.c.machine.drains()[n.reg.Node]
		if l.idle(n) && !drained {
			s.Free = append(s.Free, n.reg.Name)
		}
	}
	return s
}
