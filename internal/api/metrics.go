package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type httpMetrics struct {
	duration *prometheus.HistogramVec
}

func newHTTPMetrics(r *prometheus.Registry) httpMetrics {
	m := httpMetrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "longtake_http_request_duration_seconds", Help: "Of answers, by route and status.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, []string{"route", "code"})}
	r.MustRegister(m.duration)
	return m
}

func (m httpMetrics) observe(route string, start time.Time, r *recorder) {
	m.duration.WithLabelValues(route, strconv.Itoa(r.status)).Observe(time.Since(start).Seconds())
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
