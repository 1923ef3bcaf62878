package sim

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// keyed reports whether clients have keys with quotas in this run. In most runs nobody has one:
// jobs that wait for a quota make a run longer.
func (c *clients) keyed() bool { return c.w.Seed%4 == 1 }

// limitedFor is for how long the quotas of keys hold. All requests have come then.
const limitedFor = 28 * time.Second

// keyID is the id of a client's key.
func keyID(i int) string { return access.IDPrefix + fmt.Sprintf("aaaaaaaaaaaaaaa%c", 'a'+rune(i)) }

// quotas are those of the first keys: one job at a time, and few device-seconds a day. The day of a
// run is always the same. Whoever is over that waits for the operator.
var quotas = []access.Quota{{Running: 1}, {DeviceSeconds: 3}}

// limit makes the keys from the i-th on, again and again until a leader has done so.
func (c *clients) limit(i int) {
	if i == len(quotas) {
		return
	}
	k := c.w.raft.lead()
	if k == nil {
		c.w.after(500*time.Millisecond, func() { c.limit(i) })
		return
	}

	key := access.Key{ID: keyID(i), Name: fmt.Sprintf("client%d", i), Quota: quotas[i],
		Scopes: access.Scopes{access.VideosWrite}, Hash: access.HashText("client")}
	if _, err := k.CreateKey(key); err != nil {
		c.w.after(500*time.Millisecond, func() { c.limit(i) })
		return
	}
	c.limit(i + 1)
}

// unlimit takes the quotas of keys from the i-th on away, so that all jobs can end.
func (c *clients) unlimit(i int) {
	if i == len(quotas) {
		return
	}
	k := c.w.raft.lead()
	if k == nil {
		c.w.after(500*time.Millisecond, func() { c.unlimit(i) })
		return
	}
	if _, err := k.ChangeKey(keyID(i), core.KeyChange{Quota: &access.Quota{}}); err != nil {
		c.w.after(500*time.Millisecond, func() { c.unlimit(i) })
		return
	}
	c.unlimit(i + 1)
}

// quota holds what a key may have: a job is placed only while it has less.
func (c *checker) quota(k *core.Core, r job.Record) {
	key, ok := k.Machine().Key(r.Owner)
	if !ok {
		return
	}
	q, err := k.QuotaOf(r.Owner, r.Team, access.Quota{})
	if err != nil {
		return // it was deposed in the meantime
	}

	if n := key.Quota.Running; n > 0 {
		c.w.stats.Limited++
		if q.Used.Running > n {
			c.w.violated("quota", "job %s is placed as the owner's number %d of %d", r.ID, q.Used.Running, n)
		}
	}
	if s := key.Quota.DeviceSeconds; s > 0 && q.Used.DeviceSeconds >= s {
		c.w.violated("quota", "job %s is placed with %.3f of %.3f device-seconds used", r.ID,
			q.Used.DeviceSeconds, s)
	}
}

// spent counts attempts that stopped since the day's device-seconds were used. How far beyond them
// they came depends on the faults of the run: ranks that hang use devices, too. Tests of core hold
// that it is a step where nothing else is wrong.
func (c *checker) spent(e entry, k *core.Core, r job.Record) {
	key, ok := k.Machine().Key(r.Owner)
	if e.Kind != "lose" || !e.Setback.Planned || !ok || key.Quota.DeviceSeconds == 0 {
		return
	}

	if q, err := k.QuotaOf(r.Owner, r.Team, access.Quota{}); err == nil &&
		q.Used.DeviceSeconds >= key.Quota.DeviceSeconds {
		c.w.stats.Spent++
	}
}
