//go:build cuda

package cuda

import (
	"errors"
	"time"

	"gorgonia.org/cu"
)

// Elapsed returns how long the GPU takes for what f issues, by its own clock: the time between two
// events of the stream. It waits for the second one. f's error comes back with those of the driver.
func (d *Device) Elapsed(f func() error) (time.Duration, error) {
	begin, err := d.tick()
	if err != nil {
		return 0, err
	}
	err = f()
	end, ended := d.tick()
	took, measured := d.between(begin, end)
	return took, errors.Join(err, ended, measured)
}

// tick records a new event with a clock, which costs more than those of the pool.
func (d *Device) tick() (e cu.Event, err error) {
	d.enter("Elapsed")
	defer d.leave()
	if d.failure() != nil {
		return e, d.failure()
	}
	e, err = cu.MakeEvent(cu.DefaultEvent)
	if err == nil {
		err = e.Record(d.stream)
	}
	return e, err
}

// between waits for both events, destroys them and returns how far they are apart.
func (d *Device) between(begin, end cu.Event) (time.Duration, error) {
	d.enter("Elapsed")
	defer d.leave()
	var took float64
	var errs []error

	if begin != (cu.Event{}) && end != (cu.Event{}) {
		err := end.Synchronize()
		d.keep(err)
		if err == nil {
			took, err = begin.Elapsed(end)
		}
		errs = append(errs, err)
	}

	for _, e := range []*cu.Event{&begin, &end} {
		if *e != (cu.Event{}) {
			errs = append(errs, cu.DestroyEvent(e))
		}
	}
	return time.Duration(took * float64(time.Millisecond)), errors.Join(errs...)
}
