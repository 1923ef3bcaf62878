package coord

import (
	"cmp"
	"context"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/prometheus/client_golang/prometheus"
)

// Quotas tells clients what they may have.
type Quotas interface {
	// Quota returns what the client of a context may have, and has of it.
	Quota(ctx context.Context) (schema.Quota, error)
	// TeamQuota returns what a team may have together, as far as this coordinator knows.
	TeamQuota(team string) access.Quota
}

// Quota implements Service. Like all reads it shows nothing older than what was acknowledged.
func (c *Coordinator) Quota(ctx context.Context) (schema.Quota, error) {
	if err := c.confirmed(); err != nil {
		return schema.Quota{}, err
	}
	p, _ := access.From(ctx)
	return look(c, func() (schema.Quota, error) { return c.core.QuotaOf(p.ID, p.Team, p.Quota) })
}

// TeamQuota implements Service. It is asked for each request of a member of a team, so it does not
// ask the others whether there is a newer one.
func (c *Coordinator) TeamQuota(team string) (q access.Quota) {
	c.loop.read(func() {
		t, _ := c.core.Machine().Team(team)
		q = t.Quota
	})
	return q
}

// teamsShown bounds the series of teams: of those that have used the most today, and one of all
// others. So what is stored of a scrape does not grow with what clients are let in.
const teamsShown = 32

// Metrics of teams, on the leader. Owners have none of their own: there may be thousands.
var (
	teamJobs = prometheus.NewDesc("longtake_team_jobs",
		"Jobs of each team that wait or run, on the leader; (none) is of keys without a team.",
		[]string{"team", "state"}, nil)
	teamToday = prometheus.NewDesc("longtake_team_device_seconds_today",
		"Device-seconds that each team has used since midnight in UTC, on the leader.",
		[]string{"team"}, nil)
)

// teamMetrics tell of what teams have of the cluster.
type teamMetrics struct{ c *Coordinator }

// Describe implements prometheus.Collector.
func (m *teamMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- teamJobs
	out <- teamToday
}

// Collect implements prometheus.Collector.
func (m *teamMetrics) Collect(out chan<- prometheus.Metric) {
	var uses []core.TeamUse
	m.c.loop.read(func() { uses = m.c.core.TeamUses(teamsShown) })
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, u := range uses {
		team := label(cmp.Or(u.Team, "(none)"))
		send(teamJobs, float64(u.Queued), team, "queued")
		send(teamJobs, float64(u.Running), team, "running")
		send(teamToday, u.Today.Seconds(), team)
	}
}
