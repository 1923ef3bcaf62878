package coord

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/wire"
)

// TestRanksAreTogether picks nodes, which are written as the process that they are of, in the order
// of their names.
func TestRanksAreTogether(t *testing.T) {
	for _, c := range []struct {
		from string
		n    int
		want string
	}{
		{"abcd", 1, "a"}, {"abcd", 3, "abc"}, // a process each: by name
		{"aab", 1, "b"}, {"aab", 2, "aa"}, // the smallest that has enough
		{"abba", 2, "aa"}, {"aaabb", 2, "bb"}, {"aaabbccc", 3, "aaa"},
		{"abba", 3, "aab"}, {"abbbcc", 5, "bbbcc"}, {"abcabcc", 6, "cccaab"}, // as few as possible
	} {
		var p pool
		for _, process := range c.from {
			p.free = append(p.free, &node{reg: wire.Registration{Start: string(process),
				Capabilities: []string{"webm"}}})
		}
		var got strings.Builder
		for _, n := range p.take(p.free, c.n, "webm") {
			got.WriteString(n.reg.Start)
		}
		if got.String() != c.want || len(p.free) != len(c.from)-c.n {
			t.Errorf("%d of %s: %s, %d left; want %s", c.n, c.from, got.String(), len(p.free), c.want)
		}
	}
}
