package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type httpMetrics struct {
	duration *prometheus.HistogramVec
}

func newHTTPMetrics(r *prometheus.Registry) httpMetrics {
	m := httpMetrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "longtake_http_request_duration_seconds",
		Help:    "Time until a request was answered, by route and status.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, []string{"route", "code"})}
	r.MustRegister(m.duration)
	return m
}

func (m httpMetrics) observe(route string, start time.Time, a *answer) {
	m.duration.WithLabelValues(route, strconv.Itoa(a.status)).Observe(time.Since(start).Seconds())
}
