package wire

import "github.com/longtake/longtake/internal/job"

// Sent is a message that a node sends to the leader.
type Sent interface {
	// From is the node that the message says it is of. In a locked cluster it is believed only where
	// the subject names the identity that owns the node.
	From() job.NodeID
}

// From implements Sent.
func (r Registration) From() job.NodeID { return r.Node }

// From implements Sent.
func (h Heartbeat) From() job.NodeID { return h.Node }

// From implements Sent.
func (g Goodbye) From() job.NodeID { return g.Node }

// From implements Sent.
func (l Leave) From() job.NodeID { return l.Node }

// From implements Sent.
func (r Report) From() job.NodeID { return r.Node }

// From implements Sent.
func (c Completion) From() job.NodeID { return c.Node }

// From implements Sent.
func (s Saved) From() job.NodeID { return s.Node }

// From implements Sent.
func (k Kept) From() job.NodeID { return k.Node }

// From implements Sent.
func (p Preview) From() job.NodeID { return p.Node }

// From implements Sent.
func (f Failure) From() job.NodeID { return f.Node }

// From implements Sent.
func (p Probe) From() job.NodeID { return p.Node }
