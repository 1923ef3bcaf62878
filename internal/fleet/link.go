package fleet

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Link is what lies between two devices.
type Link struct {
	Bytes   float64 // that arrive, per second and direction; 0: not said
	Latency float64 // seconds until the first byte arrives
}

// arrives is the part of a link's nominal rate that arrives.
const arrives = 0.8

// Latencies that are taken where none is said.
const (
	infiniband = 5e-6
	converged  = 10e-6 // RDMA over Ethernet
	ethernet   = 50e-6 // TCP
	slots      = 5e-6  // PCI Express
)

// kind is a link that has a name.
type kind struct {
	name    string
	bytes   float64 // nominal, per second and direction
	latency float64
	inside  bool // between devices of a host
}

// kinds are the links by name, beside 10g and other rates of Ethernet. Those between hosts are what
// a host has, for all of its devices together.
var kinds = []kind{
	{"ib", 200e9 / 8, infiniband, false},
	{"ib200", 200e9 / 8, infiniband, false},
	{"ib400", 400e9 / 8, infiniband, false},
	{"ib800", 800e9 / 8, infiniband, false},
	{"roce", 100e9 / 8, converged, false},
	{"pcie3", 16e9, slots, true},
	{"pcie4", 32e9, slots, true},
	{"pcie5", 64e9, slots, true},
}

// linkAllowed says what parseLink takes.
const linkAllowed = "ib, ib200, ib400, ib800, roce, 10g (or 1g to 3200g), 12.5GB/s (or MB/s); " +
	"inside a host pcie3, pcie4, pcie5; several as 8xib400; a latency behind @, such as 10g@1ms"

// rateMost bounds a link's rate, in bytes per second, and latencyMost its latency.
const (
	rateMost    = 1e13
	latencyMost = 10 * time.Second
)

// parseLink reads a link, and reports whether it is one inside hosts. What is wrong is answered
// with all that is allowed, as nobody knows these names by heart.
func parseLink(text string) (l Link, inside bool, err error) {
	wrong := fmt.Errorf("link is %.60q; allowed: %s", text, linkAllowed)
	name, latency, said := strings.Cut(text, "@")
	k, ok := linkOf(name)
	if !ok {
		return Link{}, false, wrong
	}

	l = Link{k.bytes, k.latency}
	if said {
		d, err := time.ParseDuration(latency)
		if err != nil || d < 0 || d > latencyMost {
			return Link{}, false, wrong
		}
		l.Latency = d.Seconds()
	}
	return l, k.inside, nil
}

// linkOf returns the link of a name, or of a rate, that arrives.
func linkOf(name string) (kind, bool) {
	name = strings.ToLower(name)
	for unit, bytes := range map[string]float64{"gb/s": 1e9, "mb/s": 1e6} {
		if number, ok := strings.CutSuffix(name, unit); ok {
			v, ok := decimal(number)
			v *= bytes
			return kind{name, v, ethernet, false}, ok && v > 0 && v <= rateMost
		}
	}

	// Of named links and Ethernet there may be several side by side.
	n := 1
	if count, rest, ok := cutCount(name); ok {
		n, name = count, rest
	}
	for _, k := range kinds {
		if k.name == name {
			k.bytes *= arrives * float64(n)
			return k, n > 0 && k.bytes <= rateMost
		}
	}

	// Anything else is the nominal rate of an Ethernet.
	const gigabits = 3200
	number, ok := strings.CutSuffix(name, "g")
	v, err := strconv.Atoi(number)
	return kind{name, arrives * float64(n*v) * 1e9 / 8, ethernet, false},
		ok && err == nil && plain(number) && v >= 1 && v <= gigabits && n > 0
}

// decimal reads a number without sign or exponent.
func decimal(text string) (float64, bool) {
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && strings.Trim(text, "0123456789.") == ""
}

// plain reports whether a text is digits.
func plain(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// cutCount splits 8xH100 at its x.
func cutCount(text string) (n int, rest string, ok bool) {
	count, rest, ok := strings.Cut(text, "x")
	if !ok || !plain(count) || len(count) > countDigits {
		return 0, text, false
	}
	n, err := strconv.Atoi(count)
	return n, rest, err == nil
}

// countDigits bounds the digits of a count.
const countDigits = 6
