package topology

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/partition"
)

// Where names the hosts of a mesh's ranks, where rank r is on sites[r], in at most so many bytes:
// "2 hosts: h0 (8), h1 (8)".
func Where(sites []Site, most int) string {
	var names []string
	ranks := map[string]int{}
	for _, s := range sites {
		if ranks[s.Host] == 0 {
			names = append(names, s.Host)
		}
		ranks[s.Host]++
	}

	text := fmt.Sprintf("%d hosts: ", len(names))
	if len(names) == 1 {
		text = "1 host: "
	}

	for i, n := range names {
		more := fmt.Sprintf(" and %d more", len(names)-i)
		next := fmt.Sprintf("%s (%d)", n, ranks[n])
		if i > 0 {
			next = ", " + next
		}
		if len(text)+len(next)+len(more) > most {
			return text + more
		}
		text += next
	}
	return text
}

// Spread says over what a mesh's ranks exchange what: "sequences are shared within a process,
// branches meet between hosts". It is empty for a single rank.
func Spread(m partition.Mesh, sites []Site) string {
	u, group := m.Ulysses, m.Ulysses*m.CFG
	var parts []string
	add := func(n int, text string, pair func(a, b int) bool) {
		if n > 1 {
			parts = append(parts, text+" "+widest(sites, pair).String())
		}
	}
	add(u, "sequences are shared", func(a, b int) bool { return a/u == b/u })
	add(m.CFG, "branches meet", func(a, b int) bool { return a/group == b/group && a%u == b%u })
	add(m.Windows(), "windows meet", func(a, b int) bool { return a%group == b%group })
	return strings.Join(parts, ", ")
}

// widest returns the widest link between two ranks that exchange something.
func widest(sites []Site, pair func(a, b int) bool) (most Class) {
	for a := range sites {
		for b := range a {
			if pair(a, b) {
				most = max(most, Between(sites[a], sites[b]))
			}
		}
	}
	return most
}

// String says what a step takes, and what of: "2.08 s a step: 2.03 s to compute, 0.05 s for
// activations (within a process of h0), 0.002 s for velocities".
func (s Step) String() string {
	text := fmt.Sprintf("%.3g s a step: %.3g s to compute", s.Time, s.Compute)
	if s.Travels {
		on := fmt.Sprintf("%v of %s", s.Limit, s.Host)
		if s.Limit > Host {
			on = fmt.Sprintf("%v, at %s", s.Limit, s.Host)
		}
		text += fmt.Sprintf(", %.2g s for activations (%s)", s.Exposed, on)
	}
	if s.Velocities > 0 {
		text += fmt.Sprintf(", %.2g s for velocities", s.Velocities)
	}
	return text
}
