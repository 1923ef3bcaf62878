package access

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// quotaField is one bound of a quota, as people write it: queued=10.
type quotaField struct {
	name, allowed string
	// set takes a value that is in bounds, get returns what was set, NaN for nothing.
	set func(*Quota, float64)
	get func(Quota) float64
	// The least and the largest value, and whether it has to be an integer.
	least, most float64
	whole       bool
}

// Bounds of quotas: beyond them a number is a slip of the finger. Integers up to 2^53 are exact in
// JSON.
const (
	countMax   = 1e6
	secondsMax = 1e12
	bytesMax   = 1 << 53
)

// quotaFields are all bounds, in the order in which they are shown.
var quotaFields = []quotaField{
	{"rate", "requests a second, 0.001 to 1000000", func(q *Quota, v float64) { q.Rate = v },
		func(q Quota) float64 { return some(q.Rate) }, 0.001, countMax, false},
	{"burst", "requests at once, 1 to 1000000", func(q *Quota, v float64) { q.Burst = int(v) },
		func(q Quota) float64 { return some(q.Burst) }, 1, countMax, true},
	{"queued", "jobs that wait, 1 to 1000000", func(q *Quota, v float64) { q.Queued = int(v) },
		func(q Quota) float64 { return some(q.Queued) }, 1, countMax, true},
	{"running", "jobs at a time, 1 to 1000000", func(q *Quota, v float64) { q.Running = int(v) },
		func(q Quota) float64 { return some(q.Running) }, 1, countMax, true},
	{"device-seconds", "seconds of devices a day, 0.001 to 1e12",
		func(q *Quota, v float64) { q.DeviceSeconds = v },
		func(q Quota) float64 { return some(q.DeviceSeconds) }, 0.001, secondsMax, false},
	{"bytes", "bytes such as 500000, 64MiB or 20GB", func(q *Quota, v float64) { q.Bytes = int64(v) },
		func(q Quota) float64 { return some(q.Bytes) }, 1, bytesMax, true},
	{"pixels", "pixels of a frame, 1 to 1000000000", func(q *Quota, v float64) { q.Pixels = int(v) },
		func(q Quota) float64 { return some(q.Pixels) }, 1, 1e9, true},
	{"seconds", "seconds of a clip, 0.001 to 1e12", func(q *Quota, v float64) { q.Seconds = v },
		func(q Quota) float64 { return some(q.Seconds) }, 0.001, secondsMax, false},
	{"priority", "the highest, -100 to 100", func(q *Quota, v float64) { q.Priority = new(int(v)) },
		func(q Quota) float64 {
			if q.Priority == nil {
				return math.NaN()
			}
			return float64(*q.Priority)
		}, -100, 100, true},
	{"weight", "a share in relation to others', 0.001 to 1000",
		func(q *Quota, v float64) { q.Weight = v },
		func(q Quota) float64 { return some(q.Weight) }, 0.001, 1000, false},
}

// some is a bound, NaN where 0 says that there is none. NaN is equal to nothing, so it cannot be
// taken for a value by mistake.
func some[T int | int64 | float64](v T) float64 {
	if v == 0 {
		return math.NaN()
	}
	return float64(v)
}

// takes reports whether a field may have a value.
func (f quotaField) takes(v float64) bool {
	return v >= f.least && v <= f.most && (!f.whole || v == math.Trunc(v))
}

// QuotaNames lists the names that ParseQuota takes.
func QuotaNames() string {
	var out []string
	for _, f := range quotaFields {
		out = append(out, f.name)
	}
	return strings.Join(out, ", ")
}

// Check reports whether a quota is one that can be kept. The error is a *FieldError that names the
// bound as ParseQuota does.
func (q Quota) Check() error {
	for _, f := range quotaFields {
		if v := f.get(q); !math.IsNaN(v) && !f.takes(v) {
			return &FieldError{"quota." + f.name, strconv.FormatFloat(v, 'g', -1, 64), f.allowed}
		}
	}
	return nil
}

// String is the quota as ParseQuota takes it, "" for one that bounds nothing.
func (q Quota) String() string {
	var out []string
	for _, f := range quotaFields {
		if v := f.get(q); !math.IsNaN(v) {
			out = append(out, f.name+"="+strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	return strings.Join(out, ",")
}

// ParseQuota reads a quota such as "queued=10,device-seconds=3600": each bound once, "none" for no
// bound of a name. "" bounds nothing.
func ParseQuota(text string) (q Quota, err error) {
	seen := map[string]bool{}
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}

		name, value, _ := strings.Cut(part, "=")
		f, ok := fieldNamed(name)
		if !ok || seen[name] {
			return Quota{}, &FieldError{"quota", fmt.Sprintf("%.64q", part),
				"NAME=VALUE, each name once, of " + QuotaNames()}
		}

		seen[name] = true
		if value == "none" {
			continue
		}
		v, ok := number(value)
		if !ok || !f.takes(v) {
			return Quota{}, &FieldError{"quota " + name, fmt.Sprintf("%.64q", value),
				f.allowed + ", or none"}
		}
		f.set(&q, v)
	}
	return q, nil
}

// fieldNamed returns the bound of a name.
func fieldNamed(name string) (quotaField, bool) {
	for _, f := range quotaFields {
		if f.name == name {
			return f, true
		}
	}
	return quotaField{}, false
}

// units are what may follow a number of bytes, as in settings. They may follow any other number,
// too, where they make little sense and do no harm.
var units = []struct {
	suffix string
	factor float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6},
	{"GB", 1e9}, {"TB", 1e12}}

// number reads a number, with a unit of bytes after it or without one. What is no finite number is
// none.
func number(text string) (float64, bool) {
	factor := 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, factor = rest, u.factor
			break
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	return v * factor, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}
