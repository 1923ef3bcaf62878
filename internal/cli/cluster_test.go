package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
)

// TestMembersSayWhetherTheyVote lists members as the leader sees them, and as another one does.
func TestMembersSayWhetherTheyVote(t *testing.T) {
	s := schema.Status{ID: "c1", Leader: "c1", Members: []schema.Member{
		{ID: "c1", Leader: true, Voter: true, Reached: true},
		{ID: "c2", Voter: true, Reached: true, Behind: 3}, {ID: "c3", Voter: true},
		{ID: "c4", Reached: true, Behind: 5000}}}
	f := func(want ...string) {
		t.Helper()
		var b bytes.Buffer
		if err := printMembers(&b, s); err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n")[1:] {
			if got := strings.Join(strings.Fields(line), " "); !strings.HasPrefix(got, want[i]) {
				t.Errorf("%q, want %q", got, want[i])
			}
		}
	}
	f("c1 leader up to date", "c2 follower 3 entries behind", "c3 follower out of reach",
		"c4 catching up 5000 entries behind")
	s.ID = "c2"
	f("c1 leader -", "c2 follower -", "c3 follower -", "c4 catching up -")
}
