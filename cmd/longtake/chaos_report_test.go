package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/golden"
)

const reportMark = "<!-- made by make chaos -->"

// report prints the counts, and puts them into a file where that is asked for.
func (c *chaos) report(length time.Duration, seed uint64) {
	var b bytes.Buffer
	locked := "locked"
	if c.lock == nil {
		locked = "open"
	}
	fmt.Fprintf(&b, "%v, seed %d, a %s cluster of three coordinators and five shards that have all "+
		"models.\n\n", length, seed, locked)
	fmt.Fprintf(&b, "| What went wrong | Times |\n|---|---|\n")
	for _, n := range slices.Sorted(maps.Keys(c.faults)) {
		fmt.Fprintf(&b, "| %s | %d |\n", n, c.faults[n])
	}
	s := c.stats
	fmt.Fprintf(&b, "\n| What came of it | |\n|---|---|\n")
	fmt.Fprintf(&b, "| clips accepted | %d |\n", len(c.accepted))
	fmt.Fprintf(&b, "| clips delivered once, with the right bytes | %d |\n", s.delivered)
	for _, k := range c.kinds {
		fmt.Fprintf(&b, "| of these: %s | %d |\n", k.name, s.kinds[k.name])
	}
	fmt.Fprintf(&b, "| attempts lost | %d |\n", s.lost)
	fmt.Fprintf(&b, "| attempts that stopped as asked, with a checkpoint | %d |\n", s.planned)
	fmt.Fprintf(&b, "| steps done again, of %d | %d |\n", s.steps, s.redone)
	fmt.Fprintf(&b, "| silence before a loss was noticed, median and longest | %s |\n", spread(s.detection))
	fmt.Fprintf(&b, "| from a loss to the next durable step, median and longest | %s |\n",
		spread(s.recovery))
	c.t.Logf("\n%s", b.String())
	path := os.Getenv("LONGTAKE_CHAOS_REPORT")
	if path == "" || c.t.Failed() {
		return
	}
	path = filepath.Join(golden.Root("."), path)
	before, _, ok := strings.Cut(string(file(c.t, path)), reportMark)
	if !ok {
		c.t.Fatalf("%s has no line %s", path, reportMark)
	}
	if err := os.WriteFile(path, []byte(before+reportMark+"\n\n"+b.String()), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// spread is the median and the maximum.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	return fmt.Sprintf("%v, %v", all[len(all)/2].Round(10*time.Millisecond),
		all[len(all)-1].Round(10*time.Millisecond))
}
