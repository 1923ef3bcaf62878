package coord

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// metrics are what a coordinator counts. Their names and labels are what dashboards and alerts are
// built upon, so they stay. A counter starts at 0 with each process; gauges are read when asked
// for.
//
// All durations are in seconds, all sizes in bytes, as Prometheus asks for.
type metrics struct {
	registry *prometheus.Registry

	// Jobs that ended while this coordinator led.
	finished  *prometheus.CounterVec   // by state
	stage     *prometheus.HistogramVec // by stage
	step      prometheus.Histogram
	duration  prometheus.Histogram
	waited    prometheus.Histogram
	commit    prometheus.Histogram // of any decision, not of jobs alone
	decide    prometheus.Histogram
	exchanged prometheus.Counter
	resent    prometheus.Counter

	// Nodes and their messages.
	nodesLost prometheus.Counter
	stale     prometheus.Counter
	refused   *prometheus.CounterVec // by reason
	strangers *prometheus.CounterVec // by why their certificate was refused

	// Attempts that were lost, and what that cost.
	setbacks  *prometheus.CounterVec // by whether they were planned
	redone    prometheus.Counter
	detection prometheus.Histogram
	recovery  prometheus.Histogram

	used usageMetrics

	// Checkpoints that became durable.
	checkpoints, checkpointBytes prometheus.Counter
	checkpointTime               prometheus.Histogram
}

// Metrics returns the coordinator's registry, for /metrics. The API may add its own to it.
func (c *Coordinator) Metrics() *prometheus.Registry { return c.metrics.registry }

// newMetrics registers all metrics of a coordinator in a registry of its own, so that several can
// run in one process. Help texts are what an operator reads in a dashboard.
func newMetrics(c *Coordinator) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "longtake_jobs_finished_total",
			Help: "Jobs that became final while this coordinator led, by state.",
		}, []string{"state"}),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "longtake_stage_duration_seconds",
			Help:    "Time that a completed job spent in each stage, on rank 0.",
			Buckets: prometheus.ExponentialBuckets(0.01, 3, 12),
		}, []string{"stage"}),
		step: histogram("longtake_step_duration_seconds",
			"Median time of a denoising step of a completed job.", 0.001),
		duration: histogram("longtake_job_duration_seconds",
			"Time of a completed job from its placement to its completion.", 0.1),
		waited: histogram("longtake_job_wait_seconds",
			"Time that a job waited from its creation to each placement.", 0.001),
		commit: histogram("longtake_commit_duration_seconds",
			"Time until a decision was replicated and applied through Raft.", 0.0005),
		decide: decideHistogram(),
		exchanged: counter("longtake_exchanged_bytes_total",
			"Bytes of activations that the ranks of completed jobs sent to each other."),
		resent: counter("longtake_retransmits_total",
			"Chunks of activations that the ranks of completed jobs had to send again."),
		nodesLost: counter("longtake_nodes_gone_total", "Nodes (shards) that were lost or left."),
		stale: counter("longtake_stale_messages_total",
			"Messages that were refused since they were of an attempt that is over."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "longtake_refused_messages_total",
			Help: "Messages and connections of nodes that were refused, by reason: unreadable, of another " +
				"identity, with answers to others, for an object of others, on a subject of others, a " +
				"certificate.",
		}, []string{"reason"}),
		strangers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "longtake_certificates_refused_total",
			Help: "Connections that were refused for the certificate that was shown, by why.",
		}, []string{"reason"}),
		setbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "longtake_attempts_lost_total",
			Help: "Attempts that ended early; their jobs went on in another one. Planned ones were " +
				"asked to stop: for a drain, a more urgent job, or more shards.",
		}, []string{"planned"}),
		redone: counter("longtake_steps_redone_total", "Denoising steps that were done twice."),
		detection: histogram("longtake_detection_seconds",
			"Time from a lost node's last sign of life to the end of its attempt.", 0.01),
		recovery: histogram("longtake_recovery_seconds",
			"Time from the end of an attempt to the first durable step beyond it.", 0.01),
		checkpoints: counter("longtake_checkpoints_total", "Checkpoints that became durable."),
		checkpointBytes: counter("longtake_checkpoint_bytes_total",
			"Bytes of the checkpoints that became durable."),
		checkpointTime: histogram("longtake_checkpoint_duration_seconds",
			"Time from the end of a step until its checkpoint was stored.", 0.001),
	}

	for _, r := range refusalReasons() {
		m.refused.WithLabelValues(r) // so that it is there before there is any
	}

	// A name that is registered twice is a bug, which MustRegister turns into a panic at the start.
	m.registry.MustRegister(m.finished, m.stage, m.step, m.duration, m.waited, m.commit, m.exchanged,
		m.resent, m.nodesLost, m.stale, m.refused, m.strangers, m.checkpoints, m.checkpointBytes,
		m.setbacks, m.redone, m.detection, m.recovery, m.checkpointTime, m.decide)
	m.used = newUsageMetrics(m.registry)
	m.registry.MustRegister(append(gauges(c), logCounters(c)...)...)
	m.registry.MustRegister(&nodeMetrics{c}, &modelMetrics{c}, &teamMetrics{c},
		buildInfo(c.cfg.Version),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// histogram returns one with twelve buckets, the first up to `first` seconds and each three times
// the one before: steps take milliseconds on the demo and minutes on large models, and both must
// show.
func histogram(name, help string, first float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help,
		Buckets: prometheus.ExponentialBuckets(first, 3, 12)})
}

// decideHistogram begins where a cluster of a few nodes is.
func decideHistogram() prometheus.Histogram {
	return histogram("longtake_decide_duration_seconds",
		"Time of the leader's looks at the queue, with the decisions that came of them.", 0.0001)
}

// counter returns a counter without labels.
func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// observer is what the core reports to. It counts, and it tells those who watch jobs. The core
// calls it in the loop, so nothing in it may wait.
type observer struct{ c *Coordinator }

var _ core.Observer = observer{}

// JobChanged implements core.Observer.
func (o observer) JobChanged(id job.ID) { o.c.hub.notify(id) }

// JobPlaced implements core.Observer.
func (o observer) JobPlaced(waited time.Duration) { o.c.metrics.waited.Observe(waited.Seconds()) }

// NodeGone implements core.Observer.
func (o observer) NodeGone() { o.c.metrics.nodesLost.Inc() }

// StaleMessage implements core.Observer.
func (o observer) StaleMessage() { o.c.metrics.stale.Inc() }

// AttemptLost implements core.Observer. The steps that are done twice are those since the
// checkpoint from which the job resumes.
func (o observer) AttemptLost(r job.Record, b job.Setback) {
	m := o.c.metrics
	m.setbacks.WithLabelValues(strconv.FormatBool(b.Planned)).Inc()
	if n := len(r.Losses); n > 0 {
		m.redone.Add(float64(r.Losses[n-1].Redone))
	}
	if b.Detection > 0 {
		m.detection.Observe(b.Detection.Seconds())
	}
}

// CheckpointSaved implements core.Observer. A repeated message changes nothing and is not counted.
// The first step that is durable after a loss is what ends the recovery from it.
func (o observer) CheckpointSaved(before, after job.Record) {
	if before.Checkpoint == after.Checkpoint {
		return
	}
	m := o.c.metrics
	m.checkpoints.Inc()
	m.checkpointBytes.Add(float64(after.Checkpoint.Object.Size))
	m.checkpointTime.Observe(after.Checkpoint.Seconds)
	if n := len(before.Losses); n > 0 && before.Losses[n-1].Recovered.IsZero() {
		l := after.Losses[n-1]
		m.recovery.Observe(max(0, l.Recovered.Sub(l.Time).Seconds()))
	}
}

// JobEnded implements core.Observer. Times are of the attempt that completed the job; only
// completed jobs have them.
func (o observer) JobEnded(r job.Record) {
	m := o.c.metrics
	m.finished.WithLabelValues(string(r.State)).Inc()
	if r.State != job.Completed {
		return
	}

	m.duration.Observe(max(0, r.Finished.Sub(r.Started).Seconds()))
	if r.Result.StepSeconds > 0 { // else an earlier attempt did all steps
		m.step.Observe(r.Result.StepSeconds)
	}
	m.exchanged.Add(float64(r.Result.BytesExchanged))
	m.resent.Add(float64(r.Result.Retransmits))

	// Stages come from a shard. Others than these would make a series each.
	for s, v := range r.Result.Seconds {
		switch s {
		case job.StageText, job.StageDenoise, job.StageDecode, job.StageEncode:
			m.stage.WithLabelValues(string(s)).Observe(v)
		}
	}
}
