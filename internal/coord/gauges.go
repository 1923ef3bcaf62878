package coord

import (
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/job"
)

// gauges are read when /metrics is asked for, on the goroutine of that request. What belongs to the
// loop comes from a read of it, which is served also while an event waits for its commit; the rest
// comes from Raft and from the watch over the disk. On a follower, what only a leader knows is 0.
func gauges(c *Coordinator) []prometheus.Collector {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	return []prometheus.Collector{
		// The queue.
		gauge("longtake_jobs_queued", "Jobs that wait for shards.", func() float64 {
			n, _, _ := c.counts()
			return float64(n)
		}),
		gauge("longtake_oldest_queued_seconds", "Age of the job that has waited longest, or 0.",
			func() float64 { return c.oldestQueued().Seconds() }),
		gauge("longtake_jobs_running", "Jobs that run now.", func() float64 {
			_, n, _ := c.counts()
			return float64(n)
		}),
		gauge("longtake_jobs_kept", "Jobs that are remembered, whatever their state.", func() float64 {
			_, _, n := c.counts()
			return float64(n)
		}),

		// Nodes: nodeMetrics has more of each.
		gauge("longtake_nodes", "Nodes (shards) that are registered; 0 on a follower.", func() float64 {
			n := 0
			c.loop.read(func() { n = c.core.NodeCount() })
			return float64(n)
		}),

		// Room: the disk of this coordinator, and what the object store has of it.
		gauge("longtake_object_bytes", "Bytes that the object store holds.", func() float64 {
			return float64(c.space.seen().Objects)
		}),
		gauge("longtake_object_quota_bytes",
			"Bytes that the object store may hold (limits.disk); 0 if the disk is the limit.",
			func() float64 { return float64(c.space.seen().Quota) }),
		gauge("longtake_disk_free_bytes",
			"Bytes that are free on the disk of the data directory.", func() float64 {
				return float64(c.space.seen().Free)
			}),
		gauge("longtake_disk_reserve_bytes",
			"Free bytes below which no more jobs are taken.", func() float64 {
				return float64(c.space.seen().Reserve)
			}),
		gauge("longtake_full",
			"1 if no more jobs and checkpoints are taken, 2 if no finished clips either, else 0.",
			func() float64 {
				stage, _ := c.space.state()
				return float64(stage)
			}),

		// Raft: a follower whose index stays behind the leader's does not get the log.
		gauge("longtake_raft_leader", "1 if this coordinator leads, else 0.", func() float64 {
			if c.cons.raft.State() == raft.Leader {
				return 1
			}
			return 0
		}),
		gauge("longtake_raft_applied_index",
			"Index of the last decision that was applied.", func() float64 {
				return float64(c.cons.raft.AppliedIndex())
			}),
	}
}

// logCounters tell what is written to Raft's log: what clients and nodes do, not that they live.
func logCounters(c *Coordinator) []prometheus.Collector {
	counter := func(name, help string, f func(entries, bytes int64) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(f(c.cons.log.all())) })
	}
	return []prometheus.Collector{
		counter("longtake_raft_log_entries_total", "Entries that were written to Raft's log.",
			func(entries, _ int64) int64 { return entries }),
		counter("longtake_raft_log_bytes_total", "Bytes of the entries of Raft's log.",
			func(_, bytes int64) int64 { return bytes }),
	}
}

// counts returns the numbers of queued, running and all jobs.
func (c *Coordinator) counts() (queued, running, all int) {
	c.loop.read(func() { queued, running, all = c.core.Machine().Counts() })
	return queued, running, all
}

// oldestQueued returns the age of the job that has waited longest, 0 if none waits. An alert on it
// finds a queue that does not move, whatever the reason.
func (c *Coordinator) oldestQueued() (oldest time.Duration) {
	now := c.cfg.Now()
	c.loop.read(func() {
		for _, r := range c.core.Machine().Records(nil) {
			if r.State == job.Queued {
				oldest = max(oldest, now.Sub(r.Created))
			}
		}
	})
	return oldest
}

// buildInfo is a gauge of 1 with the versions as labels, as Prometheus' own programs have it:
// joined with other metrics, it says which version a change in them came with.
func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "longtake_build_info",
		Help:        "1, with the versions of longtake and Go that run as labels.",
		ConstLabels: prometheus.Labels{"version": label(version), "goversion": runtime.Version()}})
	g.Set(1)
	return g
}

// label returns s as a label value, which has to be valid UTF-8; client_golang panics otherwise.
func label(s string) string { return strings.ToValidUTF8(s, "?") }

// Metrics of models, on the leader: of a cluster's models there are job.ModelsLimit at most.
var (
	modelShards = prometheus.NewDesc("longtake_model_shards",
		"Shards that have each model, that have it loaded, that load it, or that have it and are free.",
		[]string{"model", "state"}, nil)
	modelJobs = prometheus.NewDesc("longtake_model_jobs",
		"Jobs of each model that wait or run.", []string{"model", "state"}, nil)
)

// modelMetrics tell of the models that the cluster serves.
type modelMetrics struct{ c *Coordinator }

// Describe implements prometheus.Collector.
func (m *modelMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- modelShards
	out <- modelJobs
}

// Collect implements prometheus.Collector.
func (m *modelMetrics) Collect(out chan<- prometheus.Metric) {
	var all []ServedModel
	jobs := map[string][2]int{} // queued and running
	m.c.loop.read(func() {
		all = m.c.core.Served()
		for _, r := range m.c.core.Machine().Records(nil) {
			n := jobs[r.Spec.Model]
			switch r.State {
			case job.Queued:
				n[0]++
			case job.Running:
				n[1]++
			}
			jobs[r.Spec.Model] = n
		}
	})

	send := func(d *prometheus.Desc, v int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for _, s := range all {
		name := label(s.Name)
		send(modelJobs, jobs[s.Name][0], name, "queued")
		send(modelJobs, jobs[s.Name][1], name, "running")
		if s.Shards == nil {
			continue // it does not lead
		}
		send(modelShards, len(s.Shards.Have), name, "have")
		send(modelShards, len(s.Shards.Loaded), name, "loaded")
		send(modelShards, len(s.Shards.Loading), name, "loading")
		send(modelShards, len(s.Shards.Free), name, "free")
	}
}

// nodeStates are all values of Node.State, so that a state without nodes is a series of 0 and not
// one that is missing.
var nodeStates = []string{"idle", "busy", "stopping", "draining", "drained"}

// Metrics of nodes. Their label "node" is the id of a process, so a node that restarts begins a new
// series; "name" is what the operator has called it.
var (
	nodesInState = prometheus.NewDesc("longtake_nodes_in_state",
		"Nodes (shards) in each state, on the leader.", []string{"state"}, nil)
	nodeSeen = prometheus.NewDesc("longtake_node_seen_seconds",
		"Time since the last sign of life of each node, on the leader.", []string{"node", "name"}, nil)
	nodeMemory = prometheus.NewDesc("longtake_node_memory_bytes",
		"Resident memory of each node's process, on the leader.", []string{"node", "name"}, nil)
	nodeSent = prometheus.NewDesc("longtake_node_sent_bytes",
		"Activations that each node has sent to others, over NATS and by direct connections, on the "+
			"leader.", []string{"node", "name", "transport"}, nil)
	nodeResent = prometheus.NewDesc("longtake_node_resent_chunks",
		"Chunks of activations that each node has sent again, on the leader.",
		[]string{"node", "name"}, nil)
	nodeReconnects = prometheus.NewDesc("longtake_node_direct_reconnects",
		"Direct connections of each node's process that were opened again, on the leader.",
		[]string{"node", "name"}, nil)
	nodeForged = prometheus.NewDesc("longtake_node_forged_frames",
		"Frames of activations that each node has dropped since the key of their attempt did not open "+
			"them, on the leader.", []string{"node", "name"}, nil)
	nodeTime = prometheus.NewDesc("longtake_node_device_seconds",
		"Device time of each node's ranks since its start, by its own account, on the leader.",
		[]string{"node", "name"}, nil)
	nodeBusy = prometheus.NewDesc("longtake_node_busy",
		"1 if the node works on a job, else 0, on the leader.", []string{"node", "name"}, nil)
)

// nodeMetrics tell of the registered nodes: a series for each, which ends when the node is gone.
type nodeMetrics struct{ c *Coordinator }

// Describe implements prometheus.Collector.
func (m *nodeMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{nodesInState, nodeSeen, nodeMemory, nodeBusy, nodeSent,
		nodeResent, nodeReconnects, nodeForged, nodeTime} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *nodeMetrics) Collect(out chan<- prometheus.Metric) {
	nodes, err := look(m.c, m.c.core.Nodes)
	if err != nil {
		return // it does not lead
	}

	send := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}

	count := map[string]int{}
	for _, n := range nodes {
		count[n.State]++
		id, name := label(string(n.ID)), label(n.Name)
		send(nodeSeen, n.LastSeen.Seconds(), id, name)
		send(nodeMemory, float64(n.RSS), id, name)
		send(nodeSent, float64(n.Sent.NATS), id, name, "nats")
		send(nodeSent, float64(n.Sent.Direct), id, name, "direct")
		send(nodeResent, float64(n.Sent.Resent), id, name)
		send(nodeReconnects, float64(n.Sent.Reconnects), id, name)
		send(nodeForged, float64(n.Sent.Forged), id, name)
		send(nodeTime, n.DeviceSeconds, id, name)
		busy := 0.
		if n.Job != "" {
			busy = 1
		}
		send(nodeBusy, busy, id, name)
	}
	for _, s := range nodeStates {
		send(nodesInState, float64(count[s]), s)
	}
}
