package api

import (
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
)

// toStatus describes a coordinator. The conversions hold only while both sides have the same
// fields, so that one that is added to a coordinator's view is added to the API, or is left out on
// purpose.
func toStatus(s coord.Status) schema.Status {
	out := schema.Status{ID: s.ID, State: s.State, Leader: s.Leader, Term: s.Term,
		LastIndex: s.LastIndex, Applied: s.Applied, NATS: s.NATS, Model: s.Model, Queued: s.Queued,
		Running: s.Running, Jobs: s.Jobs, Nodes: s.Nodes, Version: s.Version,
		Space: schema.Space{Objects: s.Space.Objects, Quota: s.Space.Quota, Free: s.Space.Free,
			Total: s.Space.Total, Reserve: s.Space.Reserve, Full: s.Space.Full}}
	for _, m := range s.Members {
		out.Members = append(out.Members, schema.Member(m))
	}
	return out
}

// toNodes describes shards; none are an empty list in JSON, not null.
func toNodes(nodes []coord.Node) []schema.Node {
	out := make([]schema.Node, len(nodes))
	for i, n := range nodes {
		out[i] = schema.Node(n)
	}
	return out
}
