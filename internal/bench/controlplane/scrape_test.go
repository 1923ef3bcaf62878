package controlplane

import (
	"testing"
	"time"
)

const metricsBefore = `# HELP x_seconds of nothing
x_seconds_bucket{le="0.1"} 1
x_seconds_bucket{le="0.2"} 1
x_seconds_bucket{le="+Inf"} 1
x_seconds_count 1
up{node="a"} 1
`

const metricsAfter = `x_seconds_bucket{le="0.1"} 51
x_seconds_bucket{le="0.2"} 100
x_seconds_bucket{le="+Inf"} 101
x_seconds_count 101
`

func TestQuantilesAreOfWhatCameBetween(t *testing.T) {
	from := scrape{values: parseMetrics(metricsBefore)}
	to := scrape{values: parseMetrics(metricsAfter)}
	if len(from.values) != 4 {
		t.Errorf("read %v", from.values)
	}
	for part, want := range map[float64]float64{0.5: 0.1, 0.51: 0.2, 0.99: 0.2} {
		if got := quantile(from, to, "x_seconds", part); got != want {
			t.Errorf("quantile %v is %v, want %v", part, got, want)
		}
	}
	if got := quantile(to, to, "x_seconds", 0.99); got != 0 {
		t.Errorf("of nothing it is %v", got)
	}
}

func TestPercentilesAreByNearestRank(t *testing.T) {
	s := newSamples()
	for i := range 100 {
		s.add(kindCreate, time.Duration(100-i)*time.Second, nil)
	}
	s.add(kindCancel, time.Hour, errAlone)
	s.add(kindGet, time.Hour, nil)

	each, all := s.times()
	want := Times{Count: 100, P50: 50, P99: 99, Max: 100}
	if each[kindCreate] != want {
		t.Errorf("got %+v, want %+v", each[kindCreate], want)
	}
	want.Failed = 1 // what had no answer has no time; a read is no command
	if all != want {
		t.Errorf("all commands are %+v, want %+v", all, want)
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add(metricsBefore)
	f.Add("a NaN\nb{le=\"} 1\n c\n\x00 2")
	f.Fuzz(func(t *testing.T, text string) {
		for name := range parseMetrics(text) {
			if name != "" && name[0] == '#' {
				t.Errorf("a comment is a metric: %q", name)
			}
		}
	})
}
