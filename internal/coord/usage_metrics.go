package coord

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/job"
)

// usageMetrics count what ranks have used, once the leader has it recorded: by kind of device, of
// which a cluster has few. What the shards themselves count is in nodeMetrics, to compare.
type usageMetrics struct {
	time *prometheus.CounterVec // by whether it is charged, too
	// energy and sent are of all ranks, charged or not.
	energy, sent *prometheus.CounterVec
}

func newUsageMetrics(r *prometheus.Registry) usageMetrics {
	u := usageMetrics{
		time: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "longtake_device_seconds_total",
			Help: "Time for which devices were ranks' that have ended, by kind of device and whether " +
				"clients are charged for it.",
		}, []string{"device", "charged"}),

		// Of the next two nobody asks who pays.
		energy: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "longtake_device_joules_total",
			Help: "Energy of devices for ranks that have ended, where devices tell it.",
		}, []string{"device"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "longtake_device_sent_bytes_total",
			Help: "Bytes that ranks that have ended sent to other ranks.",
		}, []string{"device"}),
	}
	r.MustRegister(u.time, u.energy, u.sent)
	return u
}

// Metered implements core.Observer.
func (o observer) Metered(device string, used job.Usage, charged bool) {
	u, kind := o.c.metrics.used, label(device)
	u.time.WithLabelValues(kind, strconv.FormatBool(charged)).Add(used.Time.Seconds())
	u.sent.WithLabelValues(kind).Add(float64(used.Sent))

	// No series of a device that does not tell: 0 would look like a measurement.
	if used.Joules > 0 {
		u.energy.WithLabelValues(kind).Add(used.Joules)
	}
}
