package coord

import (
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/wire"
)

// In a locked cluster shards have no rights in JetStream, where they could read, overwrite and
// delete what belongs to others. They hand objects in and out at the leader's desk, which knows
// whose attempt they work on.

// openDesk opens the desk of a coordinator in a locked cluster.
func (c *Coordinator) openDesk() (err error) {
	if !c.locked() {
		return nil
	}
	c.desk, err = artifact.NewDesk(artifact.DeskOptions{Dir: filepath.Join(c.cfg.Data, "uploads"),
		Grant: c.grant, Unknown: c.unreferenced, Room: c.space.forNodes,
		Refused: func(identity, op string, err error) {
			c.refusals.note(refusedObject, "a shard was refused an object", "identity", identity,
				"operation", op, "error", err)
		}})
	return err
}

// grant returns what the processes of an identity may do.
func (c *Coordinator) grant(identity string) (g artifact.Grant, err error) {
	owned := wire.Owner(identity)
	return look(c, func() (artifact.Grant, error) {
		return c.core.Grant(owned)
	})
}

// unreferenced returns those names of objects to which no job refers.
func (c *Coordinator) unreferenced(names []string) (out []string) {
	c.loop.read(func() { out = c.core.Unreferenced(names) })
	return out
}

// listenForObjects has this coordinator, which leads, serve at its desk. In an open cluster there
// is none.
func (c *Coordinator) listenForObjects() (*nats.Subscription, error) {
	if c.desk == nil {
		return nil, nil
	}
	return c.broker.conn.Subscribe(wire.SubjectObject("*", "*"), c.serveObjects)
}

// serveObjects takes a request of a node. NATS has checked that its subject is the node's own, but
// not where the node wants its answer.
func (c *Coordinator) serveObjects(m *nats.Msg) {
	tokens := strings.Split(m.Subject, ".")
	op, identity := tokens[len(tokens)-2], wire.Speaker(m.Subject)
	if !wire.AnswersOwn(identity, m.Reply) {
		c.refusals.note(refusedReply, "a shard wants an object sent to others", "subject", m.Subject)
		return
	}
	c.desk.Serve(identity, op, m)
}
