package api

import (
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/price"
)

// What clients see of usage is in seconds and bytes, as JSON has no units; inside it is
// nanoseconds, so that sums are exact.

// usageOf says what a job has used; nil where nothing was metered, as of a job that waits.
func usageOf(v coord.View) *schema.Usage {

	// Of the attempt that runs nobody knows yet whether it will be charged.
	sum := v.Usage.Total.Add(v.Live.Total)
	if sum == (job.Usage{}) {
		return nil
	}
	u := &schema.Usage{Charged: v.Usage.Charged().Seconds(), Uncharged: v.Usage.Uncharged().Seconds(),
		Running: v.Live.Total.Time.Seconds(), Devices: []schema.DeviceUsage{}, Memory: sum.Memory,
		Sent: sum.Sent, Operations: sum.Operations, Joules: sum.Joules}
	u.DeviceSeconds = u.Charged + u.Uncharged + u.Running

	// What runs is added to the kinds that there are.
	for _, d := range v.Live.Devices {
		v.Usage = v.Usage.Charge(d.Device, job.Usage{}, false)
	}

	for _, d := range v.Usage.Devices {
		line := schema.DeviceUsage{Device: d.Device, Charged: d.Charged.Seconds(),
			Uncharged: d.Uncharged.Seconds()}
		line.DeviceSeconds = line.Charged + line.Uncharged + v.Live.On(d.Device).Seconds()
		u.Devices = append(u.Devices, line)
	}
	return u
}

// costOf says what a job costs; nil where there was no price sheet, or nothing is charged.
func costOf(b *price.Bill) *schema.Cost {
	if b == nil {
		return nil
	}

	// The lines are the bill's: they are not computed again, as the sheet may be another one by now.
	c := &schema.Cost{Amount: b.Amount, Currency: b.Currency, DeviceSeconds: b.Time().Seconds(),
		Included: b.Included().Seconds(), Plan: b.Plan, Devices: []schema.CostLine{},
		Percent: b.Percent, Flat: b.Flat, Minimum: b.Minimum, Sheet: b.Sheet}
	for _, l := range b.Devices {
		c.Devices = append(c.Devices, schema.CostLine{Device: l.Device,
			DeviceSeconds: l.Time.Seconds(), Included: l.Included.Seconds(), Amount: l.Amount})
	}
	return c
}
