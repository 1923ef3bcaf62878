package wire

import (
	"github.com/longtake/longtake/internal/job"
)

// Subjects on which the leader answers nodes, and other coordinators on SubjectDisk.
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

// Bucket is the name of the object store that nodes and coordinators share.
const Bucket = "longtake-objects"

// Cache is the name of the cache of what the cluster need not make again, such as the embeddings of
// texts.
const Cache = "longtake-cache"

// SubjectRoutes carries Routes to all nodes, whenever one comes or goes.
const SubjectRoutes = "longtake.nodes.routes"

// SubjectStart is where a node takes a StartOrder; it answers with an Ack.
func SubjectStart(id job.NodeID) string { return "longtake.node." + string(id) + ".start" }

// SubjectStop is where a node takes a Stop order; it answers with an Ack.
func SubjectStop(id job.NodeID) string { return "longtake.node." + string(id) + ".stop" }

// SubjectProbe is where a node takes a Probe of another node; it answers with an Ack.
func SubjectProbe(id job.NodeID) string { return "longtake.node." + string(id) + ".probe" }

// nameLimit bounds names, in bytes.
const nameLimit = 64

// CheckNodeID reports whether id can be a token of a subject: one with a dot or a wildcard would
// reach other nodes.
func CheckNodeID(id job.NodeID) error { return job.CheckName("node id", string(id)) }
