package coord

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// In a locked cluster shards have no rights in JetStream, where they could read, overwrite and
// delete what belongs to others. They hand objects in and out at the leader's desk, which knows
// whose attempt they work on.
//
// Every coordinator has a desk, since each may lead one day; only the leader's is asked. What a
// desk has taken of an object when the leadership ends is dropped after a while, and the node has
// sent it to the next leader by then.

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

// ownObjects returns an error if a message reports an object as a job's that is another job's,
// unless who sends it has stored that, too: two jobs may make the same clip. Otherwise whoever
// learns of a name could make the object its job's own, and read it. In the loop.
func (c *Coordinator) ownObjects(from string, in any) error {
	if c.desk == nil {
		return nil
	}
	var id job.ID
	var objects []job.Object
	switch m := in.(type) {
	case wire.Saved:
		id, objects = m.Job, []job.Object{m.Checkpoint.Object}
	case wire.Kept:
		id, objects = m.Job, []job.Object{m.Object}
	case wire.Completion:
		id, objects = m.Job, []job.Object{m.Result.Video, m.Result.Latents}
	}

	// All jobs are looked at only where the desk does not know: after an election, or for a forger.
	for _, o := range objects {
		if !c.desk.Stored(from, o.Name) && c.core.Foreign(id, o.Name) {
			return fmt.Errorf("%w: %.80s is another job's, and %s has not stored it", artifact.ErrRefused,
				o.Name, from)
		}
	}
	return nil
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

// serveObjects takes a request of a node. NATS has checked that its subject is the node's own.
func (c *Coordinator) serveObjects(m *nats.Msg) {
	identity, ok := c.speaker(m)
	if !ok {
		return
	}
	tokens := strings.Split(m.Subject, ".")
	c.desk.Serve(identity, tokens[len(tokens)-2], m)
}
