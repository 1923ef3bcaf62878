package cpu

import (
	"time"

	"github.com/longtake/longtake/internal/compute"
)

// Peak measures the multiply-adds that the device's threads do without touching memory, and returns
// floating-point operations per second; 0 where the set of kernels has no loop for it.
func (d *Device) Peak(t compute.DType) float64 {
	loop := d.kern.peak
	if bf16 := d.bf16For(t); bf16 != nil {
		loop = bf16.peak
	}
	if loop == nil {
		return 0
	}

	const turns = 1 << 22 // about 10 ms
	per := loop(1)
	start := time.Now()
	d.pool.run(d.pool.size(), taskFunc(func(*worker, int) { loop(turns) }))
	return per * turns * float64(d.pool.size()) / time.Since(start).Seconds()
}
