package controlplane

import (
	"runtime"
	"time"
)

// ResultVersion is of the form of a Result.
const ResultVersion = 1

// Result is what was measured. Times are in seconds, sizes in bytes.
type Result struct {
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
	Machine Machine   `json:"machine"`
	Load    Load      `json:"load"`

	// Start is the registration of all shards one after the other within a heartbeat's interval.
	Start Storm `json:"start"`
	// Steady is the load that stays.
	Steady Steady `json:"steady"`
	// Failover is the loss of the leader, Restart of all shards at once; nil: they were not tried.
	Failover *Failover `json:"failover,omitempty"`
	Restart  *Storm    `json:"restart,omitempty"`

	// Jobs are the clips of all phases; Wrong is what clients and shards were told that they should
	// not have been, one line each.
	Jobs  Jobs     `json:"jobs"`
	Wrong []string `json:"wrong,omitempty"`
}

// Machine is where it was measured. Times of two runs can be compared where it is the same and was
// as idle.
type Machine struct {
	// CPUs are cores as the system counts them, shared by coordinators and generator.
	CPUs int `json:"cpus"`
	// OS is system/architecture, Go the version of the compiler.
	OS string `json:"os"`
	Go string `json:"go"`
	// LoadBefore is how many threads wanted a core before the run, over a minute, by the system's
	// account; Own is what the load generator has used of the cores during the steady load, in cores.
	LoadBefore float64 `json:"load_before"`
	Own        float64 `json:"generator_cores"`
}

// Load is what was asked of the coordinators.
type Load struct {
	// Coordinators, and whether they were processes of their own, with certificates.
	Coordinators int  `json:"coordinators"`
	Processes    bool `json:"processes"`
	Locked       bool `json:"locked"`
	// Shards, and how many of them are on a host.
	Shards  int `json:"shards"`
	PerHost int `json:"shards_of_a_host"`
	// Ranks and Steps of a clip, the time of a step in nanoseconds, bytes of a checkpoint and of a
	// preview; 0: there were none.
	Ranks      int           `json:"ranks"`
	Steps      int           `json:"steps"`
	StepTime   time.Duration `json:"step_ns"`
	Checkpoint int           `json:"checkpoint_bytes"`
	Preview    int           `json:"preview_bytes"`
	// Rate is at how many clips a second they were asked for. Seed repeats arrivals and steps.
	Rate float64 `json:"clips_per_second"`
	Seed uint64  `json:"seed"`
}

// Storm is how all shards register.
type Storm struct {
	// Seconds is from the first connection until the last shard was welcomed.
	Seconds  float64 `json:"seconds"`
	Register Times   `json:"register"`
	// RouteBytes is what all shards together were sent of each other's addresses.
	RouteBytes int64 `json:"route_bytes"`
}

// Steady is what a cluster at work asks of its coordinators.
type Steady struct {
	Seconds float64 `json:"seconds"`
	// Commands are all that a majority has to have on disk before they are acknowledged; Each has the
	// times of each kind of request.
	Commands Times            `json:"commands"`
	Each     map[string]Times `json:"each"`
	// What comes in a second: commands, heartbeats that are answered, and reports of progress, which
	// are not.
	CommandsPerSecond   float64 `json:"commands_per_second"`
	HeartbeatsPerSecond float64 `json:"heartbeats_per_second"`
	ReportsPerSecond    float64 `json:"reports_per_second"`
	// What Raft's log grows by in a second.
	EntriesPerSecond float64 `json:"log_entries_per_second"`
	BytesPerSecond   float64 `json:"log_bytes_per_second"`
	// Snapshots are those that Raft took of its log meanwhile; it keeps two, so 2 may be more.
	Snapshots int `json:"raft_snapshots"`
	// CommitP99 and DecideP99 are of the leader's own account, as upper ends of a histogram's buckets:
	// until a decision is on disk, and of a look at the queue.
	CommitP99 float64 `json:"commit_p99_seconds"`
	DecideP99 float64 `json:"decide_p99_seconds"`
	// Cores and Memory are what the leader's process has used. Within one process they are of all.
	Cores  float64 `json:"leader_cores"`
	Memory float64 `json:"leader_rss_bytes"`
	// Moved says that another coordinator leads at the end: the figures of the leader are of one that
	// has led for a part of the time.
	Moved bool `json:"lead_moved,omitempty"`
	// What it takes to ask for everything, once, at the end of the load: a snapshot for a backup, the
	// metrics of all nodes, and the list of shards.
	Snapshot Answer `json:"snapshot"`
	Metrics  Answer `json:"metrics"`
	Nodes    Answer `json:"nodes"`
	// Running are the jobs at the end of the load, Died the shards that were killed.
	Running int `json:"running"`
	Died    int `json:"died"`
}

// Answer is one large answer: how long it took in seconds until all of it was there, and its size.
type Answer struct {
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
}

// Failover is the loss of the leader. Times are in seconds from its death on, so they have the time
// in them that the others take to miss it.
type Failover struct {
	// Command is until a command is acknowledged that was sent after it.
	Command float64 `json:"command_seconds"`
	// Registered is until the next leader has all shards in its table.
	Registered float64 `json:"registered_seconds"`
	Register   Times   `json:"register"`
	// AttemptsLost are those that did not outlive it, by the next leader's account.
	AttemptsLost int `json:"attempts_lost"`
}

// loadOf says what is asked of the coordinators.
func (c *Config) loadOf() Load {
	return Load{Coordinators: c.Coordinators, Processes: c.Program != "", Locked: c.Locked,
		Shards: c.Shards, PerHost: c.PerHost, Ranks: c.Ranks, Steps: c.Steps,
		StepTime: c.StepTime, Checkpoint: c.CheckpointBytes, Preview: c.PreviewBytes, Rate: c.rate(),
		Seed: c.Seed}
}

func newResult(cfg Config) *Result {
	return &Result{Version: ResultVersion, Time: time.Now().UTC().Truncate(time.Second),
		Load: cfg.loadOf(), Machine: Machine{CPUs: runtime.NumCPU(),
			OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), LoadBefore: loadAverage()}}
}
