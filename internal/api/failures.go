package api

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// Failed authentications that an address may have: so many at once, and one more with each pause.
// Nobody guesses 256 bits; the limit keeps logs short, and is a word to a script that runs amok.
const (
	failuresBurst = 20
	failuresPause = 3 * time.Second
	// Addresses that are remembered.
	failuresKept = 4096
)

// failures counts failed authentications by address. It may be used by several goroutines.
type failures struct {
	now func() time.Time

	mu sync.Mutex
	// empty is when the count of an address is back at none: each failure adds a pause.
	empty map[netip.Prefix]time.Time
}

// newFailures returns a count of none. now is the clock, which tests set.
func newFailures(now func() time.Time) *failures {
	return &failures{now: now, empty: map[netip.Prefix]time.Time{}}
}

// take counts a failure of an address, host:port; false: it has had too many, and how long to wait.
func (f *failures) take(addr string) (wait time.Duration, ok bool) {
	from, now := network(addr), f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.empty[from]
	if at.Before(now) {
		at = now
	}

	if wait = at.Sub(now) - (failuresBurst-1)*failuresPause; wait > 0 {
		return wait, false
	}

	if _, there := f.empty[from]; !there && len(f.empty) >= failuresKept {
		f.forget(now)
	}
	f.empty[from] = at.Add(failuresPause)
	return 0, true
}

// forget drops the addresses that have no failures left; all of them if that are few, so that the
// work for each failure stays small: who has thousands of addresses is not held up in any case.
func (f *failures) forget(now time.Time) {
	maps.DeleteFunc(f.empty, func(_ netip.Prefix, at time.Time) bool { return !at.After(now) })
	if len(f.empty) > failuresKept/2 {
		clear(f.empty)
	}
}

// network is what counts as one address: of IPv6 the /64, all of which one client has. What is no
// address counts as one.
func network(addr string) netip.Prefix {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits)
	return p
}
