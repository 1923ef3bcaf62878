package core

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// modelKept is how long the cluster remembers a model that no node has and no job needs: long
// enough for a shard to be updated, and short enough that one that was replaced is not offered for
// long.
const modelKept = 10 * time.Minute

// agreeOnModels makes the models of a node the cluster's, as far as they agree with those that
// others have under the same names. models names those that the node may run jobs of; refused says
// of each other one why not. Where that is all of them, it is the error.
func (l *leader) agreeOnModels(r wire.Registration) (models, refused []string, err error) {
	l.dropUnused(r.Models())
	refused = slices.Clone(r.Broken)

	for _, m := range r.Models() {
		err := l.agreeOnModel(r.Node, m)
		switch {
		case errors.Is(err, ErrNotLeader):
			return nil, nil, err
		case err != nil:
			l.c.log.Warn("a model of a node is refused", "node", r.Node, "name", r.Name, "model", m.Name,
				"reason", err)
			refused = append(refused, err.Error())
		default:
			models = append(models, m.Name)
		}
	}
	if len(models) == 0 {
		return nil, nil, errors.New(refused[len(r.Broken)])
	}
	return models, refused, nil
}

// dropUnused forgets the models that no job needs, where no node is registered and the first one
// comes without them: the first node to come does not decide for ever. In the time of grace nodes
// that have them may still come back.
func (l *leader) dropUnused(come job.Models) {
	if len(l.nodes) > 0 || !l.settled() {
		return
	}

	var gone []string
	for _, m := range l.c.machine.Models() {
		if _, there := come.Named(m.Name); !there && !l.c.machine.state.needed(m.Name) {
			gone = append(gone, m.Name)
		}
	}
	l.dropModels(gone)
}

// settled reports whether the nodes of an earlier leader have had their time to register.
func (l *leader) settled() bool {
	return l.c.cfg.Clock().After(l.since.Add(l.c.cfg.Timing.Grace))
}

// dropModels commits that models are forgotten.
func (l *leader) dropModels(names []string) {
	if len(names) == 0 {
		return
	}
	if _, err := l.c.commit(command{Kind: kindForget, Models: names}); err != nil {
		l.c.log.Warn("cannot forget models", "models", names, "error", err)
		return
	}
	l.c.log.Info("models that no shard has were forgotten", "models", names)
}

// learnLoRAs adds the LoRAs of a node's model to those that requests may name.
func (l *leader) learnLoRAs(have, m job.Model) error {
	more, grown := have.WithLoRAs(m.LoRAs)
	if !grown {
		return nil
	}
	_, err := l.c.commit(command{Kind: kindModel, Model: &more})
	return err
}

// types names the models and the types of products that they have by default. As long as it stays
// as it is, learnTypes has nothing new to learn of a node that it has looked at; the look itself
// copies the node's models, which for a thousand nodes is most of a tick.
func (l *leader) types() (all string) {
	models := l.c.machine.Models()
	for i := range models {
		all += models[i].Name + "\n" + models[i].Defaults.DType + "\n"
	}
	return all
}

// learnTypes makes the type that the devices of a node are made for the default of its models. The
// nodes that are there agree, since they have one arithmetic; a cluster may have had others before.
// A node of an earlier release says nothing.
func (l *leader) learnTypes(n *node) {
	for _, m := range n.reg.Models() {
		have, known := l.c.machine.Models().Named(m.Name)
		t := m.Defaults.DType
		if !known || t == "" || t == have.Defaults.DType || !slices.Contains(n.models, m.Name) {
			continue
		}
		have.Defaults.DType = t
		if _, err := l.c.commit(command{Kind: kindModel, Model: &have}); err != nil {
			l.c.log.Warn("cannot note what type a model's shards compute in", "model", m.Name, "type", t,
				"error", err)
		}
	}
}

// agreeOnModel makes m the cluster's model of its name if there is none, or if m succeeds it, or if
// no other node has that one and no job needs it. It refuses any other. Nodes that hold what it
// takes the place of get no more work of it.
func (l *leader) agreeOnModel(from job.NodeID, m job.Model) error {
	have, known := l.c.machine.Models().Named(m.Name)
	if known && have.Fingerprint == m.Fingerprint {
		return l.learnLoRAs(have, m)
	}

	unused := l.settled() && !slices.ContainsFunc(l.sortedNodes(), func(n *node) bool {
		return n.reg.Node != from && slices.Contains(n.models, m.Name)
	})
	if _, err := l.c.commit(command{Kind: kindModel, Model: &m, Replace: unused}); err != nil {
		return err
	}

	for _, n := range m.Notices {
		l.c.log.Warn("the model is used with a notice", "model", m.Name, "notice", n)
	}
	for _, n := range l.sortedNodes() {
		if n.reg.Node != from {
			l.disown(n, m)
		}
	}
	return nil
}

// disown takes a model from a node that holds other weights under its name. A node that is left
// with none leaves the table.
func (l *leader) disown(n *node, m job.Model) {
	own, _ := n.reg.Models().Named(m.Name)
	if !slices.Contains(n.models, m.Name) || own.Fingerprint == m.Fingerprint {
		return
	}
	const why = "holds other weights than this cluster serves by now"
	n.models = slices.DeleteFunc(slices.Clone(n.models), func(s string) bool { return s == m.Name })
	n.refused = append(slices.Clip(n.refused), "model "+m.Name+": the shard "+why)
	l.stir(n)
	if len(n.models) == 0 {
		l.removeNode(n.reg.Node, why)
	}
}

// tendModels drops the models that no node has had for long and that no job needs. It takes in
// again what nodes have and the machine does not know, since an older snapshot was restored, and
// the types of their devices.
func (l *leader) tendModels() {
	now := l.c.cfg.Clock()
	had := map[string]bool{}

	// A model is looked up once, not for each of a thousand nodes.
	types := l.types()
	last := ""
	for _, n := range l.sortedNodes() {
		for _, name := range n.models {
			if name == last || had[name] {
				continue
			}
			_, known := l.c.machine.Models().Named(name)
			if m, own := n.reg.Models().Named(name); !known && own {
				known = l.agreeOnModel(n.reg.Node, m) == nil
			}
			if had[name] = known; known {
				last = name
			}
		}
		if n.typesOf != types {
			l.learnTypes(n)
			types = l.types()
			n.typesOf = types
		}
	}

	var gone []string
	for _, m := range l.c.machine.Models() {
		if _, noted := l.absent[m.Name]; !noted && !had[m.Name] {
			l.absent[m.Name] = now
		}

		since, noted := l.absent[m.Name]
		if noted && len(had) > 0 && now.Sub(since) > modelKept && !l.c.machine.state.needed(m.Name) {
			gone = append(gone, m.Name)
		}
	}

	maps.DeleteFunc(l.absent, func(name string, _ time.Time) bool {
		_, known := l.c.machine.Models().Named(name)
		return had[name] || !known
	})
	l.dropModels(gone)
}
