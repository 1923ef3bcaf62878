package wire

import (
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// Subjects that the leader answers.
const (
	SubjectRegister  = "longtake.coord.register"  // Registration -> Welcome
	SubjectHeartbeat = "longtake.coord.heartbeat" // Heartbeat -> Pulse
	SubjectGoodbye   = "longtake.coord.goodbye"   // Goodbye -> Ack
	SubjectLeave     = "longtake.coord.leave"     // Leave -> Ack
	SubjectProgress  = "longtake.coord.progress"  // Report, no answer
	SubjectComplete  = "longtake.coord.complete"  // Completion -> Ack
	SubjectFail      = "longtake.coord.fail"      // Failure -> Ack
	SubjectSaved     = "longtake.coord.saved"     // Saved -> Ack
	SubjectPreview   = "longtake.coord.preview"   // Preview -> Ack
	SubjectKept      = "longtake.coord.kept"      // Kept -> Ack
	SubjectDisk      = "longtake.coord.disk"      // Disk, no answer
)

// Bucket is the name of the object store that shards and coordinators share.
const Bucket = "longtake-objects"

// SubjectRoutes carries Routes to all nodes.
const SubjectRoutes = "longtake.nodes.routes"

// SubjectStart is where a node takes a Start order.
func SubjectStart(id job.NodeID) string { return "longtake.node." + string(id) + ".start" }

// SubjectStop is where a node takes a Stop order.
func SubjectStop(id job.NodeID) string { return "longtake.node." + string(id) + ".stop" }

// NodeOf returns the node that takes orders on a subject, "" if it is none of those.
func NodeOf(subject string) job.NodeID {
	id, ok := strings.CutPrefix(subject, "longtake.node.")
	id, _, dot := strings.Cut(id, ".")
	if !ok || !dot {
		return ""
	}
	return job.NodeID(id)
}

// nameLimit bounds names, in bytes.
const nameLimit = 64

// CheckNodeID reports whether id can be a token of a subject.
func CheckNodeID(id job.NodeID) error { return job.CheckName("node id", string(id)) }
