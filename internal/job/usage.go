package job

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Limits on what is kept of a job's usage.
const (
	DevicesLimit    = 16  // kinds of devices of a job; others count as OtherDevices
	DeviceNameLimit = 256 // bytes

	// Sums stay at these once they come to them, so that none overflows.
	usageTimeMost = 100 * 365 * 24 * time.Hour
	usageMost     = 1 << 60
)

// OtherDevices stands for the kinds of devices beyond DevicesLimit.
const OtherDevices = "others"

// Usage is what a rank has used of its node since it accepted its order, or what several ranks have
// together.
type Usage struct {
	// Time is how long the device was the rank's, whether it computed or waited for other ranks.
	Time time.Duration `json:"device_ns,omitempty"`
	// Memory is the most resident memory of the process that was seen, in bytes; of several ranks
	// that of the one with the most.
	Memory int64 `json:"memory_bytes,omitempty"`
	// Sent is what was sent to other ranks, in bytes.
	Sent int64 `json:"sent_bytes,omitempty"`
	// Operations counts the multiply-adds of passes through the model and of decoding.
	Operations float64 `json:"operations,omitempty"`
	// Joules is the energy that the device says it took; 0: it does not say.
	Joules float64 `json:"joules,omitempty"`
}

// Add returns what u and o come to together.
func (u Usage) Add(o Usage) Usage {
	const most = math.MaxFloat32
	return Usage{Time: min(u.Time+o.Time, usageTimeMost), Memory: max(u.Memory, o.Memory),
		Sent: min(u.Sent+o.Sent, usageMost), Operations: min(u.Operations+o.Operations, most),
		Joules: min(u.Joules+o.Joules, most)}
}

// Beyond returns what u has more than an earlier count of the same rank, nothing where it has less.
func (u Usage) Beyond(o Usage) Usage {
	return Usage{Time: max(0, u.Time-o.Time), Memory: u.Memory, Sent: max(0, u.Sent-o.Sent),
		Operations: max(0, u.Operations-o.Operations), Joules: max(0, u.Joules-o.Joules)}
}

// Check refuses what no rank can have used.
func (u Usage) Check() error {
	ok := u.Time >= 0 && u.Time <= usageTimeMost && u.Memory >= 0 && u.Memory <= usageMost &&
		u.Sent >= 0 && u.Sent <= usageMost
	for _, v := range []float64{u.Operations, u.Joules} {
		ok = ok && v >= 0 && v <= math.MaxFloat32
	}
	if !ok {
		return fmt.Errorf("a usage of %+v; allowed: from 0, and up to 100 years", u)
	}
	return nil
}

// DeviceUsage is how long devices of one kind were a job's. Kinds are kept apart, since a second on
// each has a price of its own.
type DeviceUsage struct {
	// Device is the kind, as nodes register it.
	Device string `json:"device"`
	// Charged is of attempts that the client pays for, Uncharged of all others.
	Charged   time.Duration `json:"charged_ns,omitempty"`
	Uncharged time.Duration `json:"uncharged_ns,omitempty"`
}

// Metered is what all attempts of a job have used that are over. The zero one is of a job that was
// not metered, since it ran on nodes of earlier releases.
type Metered struct {
	// Devices are by kind, in ascending order of the names.
	Devices []DeviceUsage `json:"devices,omitempty"`
	// Total is of all of them, charged or not; its time is the sum of theirs.
	Total Usage `json:"total,omitzero"`
}

// Charge returns m with what ranks on devices of a kind have used. m itself does not change.
func (m Metered) Charge(device string, u Usage, charged bool) Metered {
	m.Devices = slices.Clone(m.Devices)
	m.Total = m.Total.Add(u)

	// A job on more kinds than are kept is rare: the last of them stands for the rest.
	at, known := m.find(device)
	if !known && len(m.Devices) >= DevicesLimit-1 {
		device = OtherDevices
		at, known = m.find(device)
	}
	if !known {
		m.Devices = slices.Insert(m.Devices, at, DeviceUsage{Device: device})
	}

	d := &m.Devices[at]
	if charged {
		d.Charged = min(d.Charged+u.Time, usageTimeMost)
	} else {
		d.Uncharged = min(d.Uncharged+u.Time, usageTimeMost)
	}
	return m
}

// find returns where a kind of device is, or would be.
func (m Metered) find(device string) (at int, known bool) {
	return slices.BinarySearchFunc(m.Devices, device, func(d DeviceUsage, name string) int {
		return cmp.Compare(d.Device, name)
	})
}

// Charged returns the device time that the client pays for.
func (m Metered) Charged() (t time.Duration) {
	for _, d := range m.Devices {
		t = min(t+d.Charged, usageTimeMost)
	}
	return t
}

// Uncharged returns the device time that nobody pays for.
func (m Metered) Uncharged() (t time.Duration) {
	for _, d := range m.Devices {
		t = min(t+d.Uncharged, usageTimeMost)
	}
	return t
}

// On returns the time of one kind of device, charged or not.
func (m Metered) On(device string) time.Duration {
	at, known := m.find(device)
	if !known {
		return 0
	}
	return m.Devices[at].Charged + m.Devices[at].Uncharged
}

// Check wants kinds in order, and times from 0.
func (m Metered) Check() error {
	if len(m.Devices) > DevicesLimit {
		return &FieldError{"usage.devices", number(len(m.Devices)), fmt.Sprintf("up to %d",
			DevicesLimit)}
	}

	before := ""
	for i, d := range m.Devices {
		if i > 0 && d.Device <= before || min(d.Charged, d.Uncharged) < 0 ||
			max(d.Charged, d.Uncharged) > usageTimeMost {
			return &FieldError{"usage.devices", fmt.Sprintf("%.64q, %v, %v", d.Device, d.Charged,
				d.Uncharged), "kinds in order, times from 0"}
		}
		if err := checkText("usage.devices", d.Device, DeviceNameLimit); err != nil {
			return err
		}
		before = d.Device
	}
	if err := m.Total.Check(); err != nil {
		return &FieldError{"usage.total", err.Error(), "from 0"}
	}
	return nil
}

// Used returns the record with what a rank has used, beyond what was charged, on a kind of device.
func (r Record) Used(device string, rest Usage) Record {
	r.Usage = r.Usage.Charge(device, rest, false)
	return r
}

// checkUsage wants what the job has used, and what it costs once it has ended.
func (r *Record) checkUsage() error {
	if err := r.Usage.Check(); err != nil {
		return err
	}
	if r.Bill == nil {
		return nil
	}
	if err := r.Bill.Check(); err != nil || !r.State.Final() {
		return &FieldError{"bill", fmt.Sprintf("%v, %v", r.State, err), "one of a job that has ended"}
	}
	return nil
}
