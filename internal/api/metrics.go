package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// httpMetrics counts requests for Prometheus, by route: paths with ids in them would be without
// end.
type httpMetrics struct {
	// By route, such as "GET /v1/videos/{id}", and status. Its buckets go from 1 ms by fours to 66 s;
	// streams are longer and land in +Inf.
	duration *prometheus.HistogramVec
	// By reason: those who were not let in.
	failures *prometheus.CounterVec
}

// newHTTPMetrics registers the counts at r, which then has them as long as it lives.
func newHTTPMetrics(r *prometheus.Registry) httpMetrics {
	m := httpMetrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "longtake_http_request_duration_seconds",
		Help:    "Time until a request was answered, by route and status.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, []string{"route", "code"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "longtake_auth_failures_total",
			Help: "Requests that were refused for want of a key or a scope, by reason.",
		}, []string{"reason"})}
	r.MustRegister(m.duration, m.failures)
	return m
}

// observe counts an answer and the time since start, which for a stream is its whole life.
func (m httpMetrics) observe(route string, start time.Time, a *answer) {
	m.duration.WithLabelValues(route, strconv.Itoa(a.status)).Observe(time.Since(start).Seconds())
}

// refused counts a request that was not let in.
func (m httpMetrics) refused(reason string) { m.failures.WithLabelValues(reason).Inc() }
