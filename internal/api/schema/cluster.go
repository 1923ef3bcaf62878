package schema

import (
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// Node is a registered shard, as /v1/nodes shows it.
type Node struct {
	// ID is of the process: a shard that starts again has a new one. Name is from its settings, and
	// stays.
	ID   job.NodeID `json:"id"`
	Name string     `json:"name"`
	// Identity is the name in its certificate; absent in a cluster without certificates.
	Identity string `json:"identity,omitempty"`
	// Device is "cpu", or a GPU's name; Threads are those of its CPU.
	Device  string `json:"device"`
	Threads int    `json:"threads"`
	Version string `json:"version,omitempty"`
	// Route is the URL at which other shards reach its data plane.
	Route string `json:"route"`
	// Host and Rack say where its process is. Rates are what it reaches over its links, in bytes a
	// second, and Delays how long a message takes there, in seconds: as set, or as measured; absent:
	// neither.
	Host   string          `json:"host,omitempty"`
	Rack   string          `json:"rack,omitempty"`
	Rates  topology.Rates  `json:"bandwidth,omitzero"`
	Delays topology.Delays `json:"delay,omitzero"`
	// Process is equal for shards of one process.
	Process string `json:"process,omitempty"`
	// State is "idle", "busy", "stopping" (busy with what is over), "draining" (busy still),
	// "drained", or in an answer to a drain "gone".
	State string `json:"state"`
	// RSS is the memory that its process has now, in bytes.
	RSS uint64 `json:"rss_bytes"`
	// Sent is what it has sent to other shards since its start, and by which way; absent: nothing.
	Sent collective.Traffic `json:"sent,omitzero"`
	// DeviceSeconds are those of all ranks since its start, by its own account.
	DeviceSeconds float64 `json:"device_seconds,omitempty"`
	// Speed is in multiplications and additions a second, Memory is what a clip may take; 0:
	// unknown.
	Speed  float64 `json:"speed,omitempty"`
	Memory int64   `json:"memory_bytes,omitempty"`

	// Models names those that it runs jobs of, Loaded those that are ready (the latest first), and
	// Loading the one that is being loaded. Refused says why it runs none of its others.
	Models  []string `json:"models,omitempty"`
	Loaded  []string `json:"loaded,omitempty"`
	Loading string   `json:"loading,omitempty"`
	Refused []string `json:"refused_models,omitempty"`

	// What it works on; empty while it is idle.
	Job     job.ID      `json:"job,omitempty"`
	Attempt job.Attempt `json:"attempt,omitempty"`
	Step    int         `json:"step,omitempty"`

	// When the shard registered, when its process started, and how long ago it was last heard, in
	// nanoseconds.
	Since    time.Time     `json:"registered"`
	Started  time.Time     `json:"started,omitzero"`
	LastSeen time.Duration `json:"last_seen_ns"`
	// Deadline is when a drain ends its work in any case; absent while none is under way.
	Deadline time.Time `json:"drain_deadline,omitzero"`
}

// Peer is a coordinator that is to become a member: the body of POST /v1/cluster/members.
type Peer struct {
	ID   string `json:"id"`
	Raft string `json:"raft_address"` // host:port that the others dial
	HTTP string `json:"http_address"` // URL of its HTTP API
}

// Member is one coordinator of the cluster.
type Member struct {
	ID     string `json:"id"`
	Raft   string `json:"raft_address"`
	HTTP   string `json:"http_address,omitempty"`
	Leader bool   `json:"leader"`
	Voter  bool   `json:"voter"` // false: it has not caught up yet
	// What only the leader knows: whether the member has answered lately, and how many entries of
	// the log it lacks.
	Reached bool   `json:"reached"`
	Behind  uint64 `json:"entries_behind,omitempty"`
}

// Status is what one coordinator knows of itself and of the cluster: the answer of /v1/cluster.
type Status struct {
	ID string `json:"id"`
	// State is in Raft: "Leader", "Follower" or "Candidate". Leader is the id of the one that leads,
	// empty during an election.
	State  string `json:"state"`
	Leader string `json:"leader,omitempty"`
	Term   uint64 `json:"term"`
	// LastIndex is the end of the log, Applied how far it was carried out: a gap that stays is a
	// coordinator in trouble.
	LastIndex uint64    `json:"last_index"`
	Applied   uint64    `json:"applied_index"`
	Members   []Member  `json:"members"`
	NATS      string    `json:"nats_url"`
	Model     job.Model `json:"model,omitzero"` // of requests that name none
	Models    []string  `json:"models"`         // names of all
	Queued    int       `json:"jobs_queued"`
	Running   int       `json:"jobs_running"`
	Jobs      int       `json:"jobs_kept"` // of all states
	Nodes     int       `json:"nodes"`     // shards; only the leader knows
	Version   string    `json:"version"`
	Space     Space     `json:"space"`
	// Commands is the version of the decisions in Raft's log, and Upgrading says what keeps it from
	// being the newest that this coordinator knows, on the leader; empty: nothing does.
	Commands int `json:"commands_version,omitempty"`
	// Pricing is the hash of its price sheet, which ought to be that of all others; absent: none.
	Pricing   string `json:"pricing,omitempty"`
	Upgrading string `json:"upgrading,omitempty"`
}

// Leads reports whether the coordinator leads; one that does not knows of no shards.
func (s Status) Leads() bool { return s.State == "Leader" }

// Space is what a coordinator stores and has room for, in bytes.
type Space struct {
	Objects int64 `json:"object_bytes"`       // in the object store
	Quota   int64 `json:"quota_bytes"`        // that the store may have; 0: what the disk has
	Free    int64 `json:"disk_free_bytes"`    // with what is kept back
	Total   int64 `json:"disk_bytes"`         // of the disk
	Reserve int64 `json:"disk_reserve_bytes"` // no more jobs are taken when less is free
	// Full says why no more jobs are taken, on the leader for all coordinators; empty: they are.
	Full string `json:"full,omitempty"`
}
