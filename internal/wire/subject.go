package wire

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// Subjects on which the leader answers nodes, and other coordinators on SubjectDisk. In a locked
// cluster nodes add their identity, as Said does.
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
	SubjectMeasure   = "longtake.coord.measure"   // Probe -> Ack; in locked clusters alone
	SubjectDisk      = "longtake.coord.disk"      // Disk, no answer; of coordinators, never locked
)

// Bucket is the name of the object store that nodes and coordinators share.
const Bucket = "longtake-objects"

// Cache is the name of the cache of what the cluster need not make again, such as the embeddings of
// texts.
const Cache = "longtake-cache"

// SubjectRoutes carries Routes to all nodes, whenever one comes or goes. In a locked cluster only
// coordinators may publish there.
const SubjectRoutes = "longtake.nodes.routes"

// Said returns the subject on which a node says what belongs on one of the subjects above. identity
// is the name in its certificate; "": the cluster is open.
func Said(subject, identity string) string {
	if identity == "" {
		return subject
	}
	return subject + "." + identity
}

// Speaker returns the identity in a subject that Said made. NATS has checked that it is the one of
// the connection which published there.
func Speaker(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// SubjectStart is where a node takes a StartOrder; it answers with an Ack. identity is as in Said.
func SubjectStart(identity string, id job.NodeID) string { return order(identity, id, "start") }

// SubjectStop is where a node takes a Stop order; it answers with an Ack.
func SubjectStop(identity string, id job.NodeID) string { return order(identity, id, "stop") }

// SubjectProbe is where a node takes a Probe; it answers with an Ack. In an open cluster the other
// node sends it, in a locked one the leader does, whom that node asks on SubjectMeasure: nodes may
// not order each other.
func SubjectProbe(identity string, id job.NodeID) string { return order(identity, id, "probe") }

func order(identity string, id job.NodeID, kind string) string {
	if identity != "" {
		identity += "."
	}
	return "longtake.node." + identity + string(id) + "." + kind
}

// Inbox is the prefix of the subjects on which a node of a locked cluster takes answers.
func Inbox(identity string) string { return "_INBOX." + identity }

// CoordinatorInbox is the prefix of the subjects on which a coordinator of a locked cluster takes
// answers. No Inbox is like it, whatever a shard is called.
func CoordinatorInbox(id string) string { return "_COORDINATOR." + id }

// AnswersOwn reports whether what a node wants answered on reply reaches itself alone. NATS lets
// clients ask for an answer on any subject, and who answers may publish on all of them.
func AnswersOwn(identity, reply string) bool {
	return reply == "" || strings.HasPrefix(reply, Inbox(identity)+".")
}

// ShardSubjects are the subjects that a shard of a locked cluster may publish on and subscribe to.
// It may also answer, once, what reaches it: so it must not be able to send itself anything, or it
// would answer on whatever subject it likes.
func ShardSubjects(identity string) (publish, subscribe []string) {
	return []string{"longtake.coord.*." + identity, "longtake.object.*." + identity},
		[]string{"longtake.node." + identity + ".>", SubjectRoutes, Inbox(identity) + ".>"}
}

// sealBytes is how much of a hash ties a node id to an identity: 128 bits.
const sealBytes = 16

// NewNodeID makes the id of a node out of random text, of up to 26 letters and digits. In a locked
// cluster it ends with a hash of the node's identity, so that nobody else can take it, not even
// while the leader is new and knows no node yet.
func NewNodeID(identity, random string) job.NodeID {
	id := "node_" + random
	if identity != "" {
		id += "_" + seal(identity)
	}
	return job.NodeID(id)
}

// Owns reports whether a node id is one of an identity.
func Owns(identity string, id job.NodeID) bool { return Owner(identity)(id) }

// Owner is Owns for the many node ids that one identity is asked about.
func Owner(identity string) func(job.NodeID) bool {
	suffix := "_" + seal(identity)
	return func(id job.NodeID) bool { return strings.HasSuffix(string(id), suffix) }
}

func seal(identity string) string {
	sum := sha256.Sum256([]byte("longtake node of " + identity))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:sealBytes])
}

// SubjectObject is where the processes of an identity, in a locked cluster, ask the leader for an
// operation on objects; see artifact.Desk. "*" is any.
func SubjectObject(op, identity string) string { return "longtake.object." + op + "." + identity }

// nameLimit bounds names, in bytes.
const nameLimit = 64

// CheckNodeID reports whether id can be a token of a subject: one with a dot or a wildcard would
// reach other nodes.
func CheckNodeID(id job.NodeID) error { return job.CheckName("node id", string(id)) }
