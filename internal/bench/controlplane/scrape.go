package controlplane

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// scrape is what a coordinator says in /metrics: values by name and labels, and what it took.
type scrape struct {
	values map[string]float64
	bytes  int
	took   time.Duration
	at     time.Time
}

// value returns a metric without labels, 0 if there is none.
func (s scrape) value(name string) float64 { return s.values[name] }

// scrapeOf asks a coordinator for its metrics, as Prometheus does. Series of single nodes are not
// kept: there are a dozen for each shard, and nothing here looks at them.
func (c *coordinators) scrapeOf(ctx context.Context, m *member) (s scrape, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, m.HTTP+"/metrics", nil)
	if err != nil {
		return s, err
	}
	if c.key != "" {
		q.Header.Set("Authorization", "Bearer "+c.key)
	}
	start := time.Now()
	resp, err := c.http.Do(q)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()

	text, err := io.ReadAll(io.LimitReader(resp.Body, scrapeMax))
	if err != nil {
		return s, err
	}
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("cannot read the metrics of coordinator %s: %s", m.ID, resp.Status)
	}

	return scrape{values: parseMetrics(string(text)), bytes: len(text), took: time.Since(start),
		at: start}, nil
}

// parseMetrics reads Prometheus' text form as coordinators write it, without timestamps. What it
// cannot read is left out.
func parseMetrics(text string) map[string]float64 {
	out := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") || strings.Contains(name, "node=") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = v
		}
	}
	return out
}

// scrapeMax bounds what is read of metrics, in bytes: a thousand shards are less than a megabyte.
const scrapeMax = 64 << 20

// quantile returns about which value of a histogram a part of what was observed between two scrapes
// is below, in seconds: the upper end of its bucket. 0: nothing was observed.
func quantile(from, to scrape, name string, part float64) float64 {
	all := to.value(name+"_count") - from.value(name+"_count")
	if all <= 0 {
		return 0
	}

	// Buckets are cumulative: the first that has as many is the one.
	best := -1.
	for series, v := range to.values {
		edge, ok := strings.CutPrefix(series, name+`_bucket{le="`)
		if !ok || v-from.values[series] < part*all {
			continue
		}
		le, err := strconv.ParseFloat(strings.TrimSuffix(edge, `"}`), 64)
		if err == nil && (best < 0 || le < best) {
			best = le
		}
	}
	return best
}
