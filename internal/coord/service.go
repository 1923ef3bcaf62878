package coord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// Service is what the HTTP API and the CLI use of a coordinator. Every method may be called from
// any goroutine. On a follower all but Status, Model and Ready return a *NotLeaderError.
type Service interface {
	Jobs
	Nodes
	Cluster
	Access
	Quotas
	Audits
	Accounting
	Rollouts
}

// Jobs creates jobs, follows them and reads their results.
type Jobs interface {
	// Create checks r against the model and queues it; when it returns without an error, the job
	// is committed. It returns a *job.FieldError, ErrNoModel, ErrNoSpace, ErrQueueFull or
	// ErrKeyReused.
	Create(ctx context.Context, r job.Request) (job.Record, error)
	// Estimate returns what a request would take. It is refused as Create refuses it, but for what
	// passes, such as a full queue; nothing is queued. What it is made from need not be stored.
	Estimate(ctx context.Context, r job.Request) (Estimate, error)
	// Get returns one job, or ErrNotFound.
	Get(ctx context.Context, id job.ID) (View, error)
	// List returns jobs in the order of their creation.
	List(ctx context.Context, o ListOptions) (Page, error)
	// Cancel ends a queued job at once, and a running one as soon as its shards have stopped: within
	// seconds. Cancelling a cancelled job does nothing; one that ended otherwise gives
	// job.ErrTransition.
	Cancel(ctx context.Context, id job.ID) (View, error)
	// Delete forgets a final job and its objects; job.ErrTransition if it is not final yet.
	Delete(ctx context.Context, id job.ID) error
	// Retry queues a new job with the same spec as a final one.
	Retry(ctx context.Context, id job.ID) (job.Record, error)
	// Watch sends the job's view now and after changes (a slow reader misses those in between, not
	// the last), and closes the channel after a final view, when ctx ends or leadership is lost.
	Watch(ctx context.Context, id job.ID) (<-chan View, error)
	// Preview returns the latest preview of a running job; ErrNotFound if there is none.
	Preview(ctx context.Context, id job.ID) (Preview, error)
	// StoreInput stores what a job is to start from, r from its start to its end. It stays for an
	// hour, or as long as a job refers to it; ErrQueueFull where too many are stored.
	StoreInput(ctx context.Context, r io.ReadSeeker) (job.Object, error)
	// Open reads a stored object of a result, all of which has been checked; ErrNotFound if it is
	// gone, ErrDamaged if it is not what was stored.
	Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error)
}

// Nodes shows the registered nodes and takes them out of service.
type Nodes interface {
	// Nodes returns the registered nodes, by name.
	Nodes(ctx context.Context) ([]Node, error)
	// DrainNode takes a node, by name or id, out of the scheduler's choice. Its work moves to others
	// at the next step boundary, after `within` in any case; 0: at once.
	DrainNode(ctx context.Context, name string, within time.Duration) (Node, error)
	// UndrainNode lets a drained node work again.
	UndrainNode(ctx context.Context, name string) (Node, error)
}

// Cluster shows the coordinators, changes who they are, and copies what they have decided.
type Cluster interface {
	// Status returns what this coordinator knows about itself and the cluster.
	Status(ctx context.Context) (Status, error)
	// Model returns the model of a name, or for "" the one of requests that name none. It returns
	// ErrNoModel before the first shard registered, or a *job.FieldError.
	Model(ctx context.Context, name string) (job.Model, error)
	// Models returns all that the cluster serves, and on the leader where they are.
	Models(ctx context.Context) []ServedModel
	// Ready returns nil when requests can be taken here: a leader is known, NATS is up.
	Ready(ctx context.Context) error
	// AddMember adds a coordinator, which has to run with raft.join and votes once it has caught up;
	// RemoveMember takes one out that is not the leader, and without which a majority is in reach,
	// unless it is forced. TransferLeader hands the leadership to a member, "" for any.
	AddMember(ctx context.Context, p Peer) (Status, error)
	RemoveMember(ctx context.Context, id string, force bool) (Status, error)
	TransferLeader(ctx context.Context, to string) (Status, error)
	// SaveSnapshot writes all that was decided, without the objects. RestoreSnapshot replaces it, on
	// all coordinators; ErrSnapshot if it cannot be read or is of another model.
	SaveSnapshot(ctx context.Context, w io.Writer) error
	RestoreSnapshot(ctx context.Context, r io.Reader) error
}

// Audits reads the audit log, of which each coordinator has its own files; followers answer, too.
type Audits interface {
	// Audit calls f with the lines that are wanted, in their order; f must not keep them. It ends with
	// an error of f.
	Audit(ctx context.Context, q audit.Query, f func(line []byte) error) error
	// AuditStatus returns where the log stands here.
	AuditStatus(ctx context.Context) (schema.AuditStatus, error)
	// Refused counts a request that was refused before it became a command, by who asks, action and
	// reason. The counts are in the log within some seconds. It does not wait.
	Refused(ctx context.Context, action, reason string)
}

// What clients see of jobs, nodes and coordinators.
type (
	// View is a job.
	View = core.View
	// Estimate is what a request would take.
	Estimate = core.Estimate
	// ListOptions selects a page of jobs.
	ListOptions = core.ListOptions
	// Page is a run of jobs.
	Page = core.Page
	// Preview is a rough animation of a running job's clip.
	Preview = core.Preview
	// Node is a registered shard process.
	Node = core.Node
	// ServedModel is a model, and where it is.
	ServedModel = schema.ServedModel
	// Status describes a coordinator and, as far as it knows, its cluster.
	Status = schema.Status
	// Member is one coordinator of the Raft configuration.
	Member = schema.Member
	// Space is what a coordinator knows of its disk, in bytes.
	Space = schema.Space
)

// ListLimit is the most jobs on one page.
const ListLimit = core.ListLimit

// SnapshotMax bounds a snapshot, in bytes.
const SnapshotMax = core.SnapshotMax

// Errors of the service.
var (
	ErrNotFound  = core.ErrNotFound
	ErrDamaged   = core.ErrDamaged
	ErrNoModel   = core.ErrNoModel
	ErrQueueFull = core.ErrQueueFull
	ErrKeyReused = core.ErrKeyReused
	ErrNotLeader = core.ErrNotLeader
	// ErrNoSpace: no more jobs are taken until there is room.
	ErrNoSpace  = core.ErrNoSpace
	ErrNotReady = errors.New("the coordinator is not ready")
	// ErrUpgrading: some coordinators do not know yet what was asked for.
	ErrUpgrading = core.ErrUpgrading
	// Errors of Certificates.
	ErrNoAuthority = core.ErrNoAuthority
	ErrToken       = core.ErrToken
	ErrDenied      = core.ErrDenied
	ErrNameTaken   = core.ErrNameTaken
	ErrRotating    = errors.New("the CA before this one is still needed")
	ErrAlone       = errors.New("not possible with one coordinator")
	ErrSnapshot    = errors.New("this snapshot cannot be restored")
)

// QuotaError refuses a job that is more than its owner, or the team, may have.
type QuotaError = core.QuotaError

// NotLeaderError says who leads; errors.Is(err, ErrNotLeader) holds.
type NotLeaderError struct {
	ID   string // of the leader; empty while none is elected
	HTTP string // its address; empty if unknown
}

// Error implements error.
func (e *NotLeaderError) Error() string {
	if e.ID == "" {
		return "the coordinators have no leader at the moment; a majority has to be up and in reach"
	}
	return fmt.Sprintf("%v; %s at %s leads", ErrNotLeader, e.ID, e.HTTP)
}

// Unwrap returns ErrNotLeader.
func (e *NotLeaderError) Unwrap() error { return ErrNotLeader }
