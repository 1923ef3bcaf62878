package wire

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestOpenSubjects holds the subjects of clusters without certificates, where nodes and
// coordinators of different versions mix.
func TestOpenSubjects(t *testing.T) {
	for got, want := range map[string]string{
		Said(SubjectHeartbeat, ""): "longtake.coord.heartbeat",
		SubjectStart("", "n"):      "longtake.node.n.start",
		SubjectStop("", "n"):       "longtake.node.n.stop",
		SubjectProbe("", "n"):      "longtake.node.n.probe",
		SubjectRoutes:              "longtake.nodes.routes",
		SubjectDisk:                "longtake.coord.disk",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if id := NewNodeID("", "ABC"); id != "node_ABC" {
		t.Errorf("the id of a node is %s", id)
	}
}

func TestLockedSubjects(t *testing.T) {
	for got, want := range map[string]string{
		Said(SubjectHeartbeat, "gpu-1"): "longtake.coord.heartbeat.gpu-1",
		SubjectStart("gpu-1", "n"):      "longtake.node.gpu-1.n.start",
		Speaker("longtake.coord.x.a-1"): "a-1",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for reply, own := range map[string]bool{"": true, "_INBOX.a.1": true, "_INBOX.ab.1": false,
		"_INBOX.b.1": false, "_INBOX.a": false, SubjectRoutes: false, CoordinatorInbox("a"): false} {
		if AnswersOwn("a", reply) != own {
			t.Errorf("a may have answers at %q: %v", reply, !own)
		}
	}
}

// TestNodesAreOfOneIdentity: an id is a token, and belongs to the identity it was made for alone.
func TestNodesAreOfOneIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`)
		own, other := names.Draw(t, "own"), names.Draw(t, "other")
		id := NewNodeID(own, rapid.StringMatching(`[A-Z2-7]{16}`).Draw(t, "random"))
		if err := CheckNodeID(id); err != nil {
			t.Fatal(err)
		}
		if !Owns(own, id) || Owns(other, id) != (own == other) {
			t.Fatalf("%s is of %s: %v, of %s: %v", id, own, Owns(own, id), other, Owns(other, id))
		}
	})
}

// TestShardsReachOnlyTheirOwn: what a shard may publish on names it, no other shard may subscribe
// to what is its own, and nothing that it may publish on comes back to it.
func TestShardsReachOnlyTheirOwn(t *testing.T) {
	publish, subscribe := ShardSubjects("a")
	_, others := ShardSubjects("b")
	for _, p := range publish {
		if Speaker(p) != "a" {
			t.Errorf("shard a may publish on %s", p)
		}
		for _, s := range append(subscribe, others...) {
			if prefix, _, _ := strings.Cut(s, ".>"); strings.HasPrefix(p, prefix) {
				t.Errorf("what is said on %s comes in at %s", p, s)
			}
		}
	}
	for _, s := range []string{SubjectStart("a", NewNodeID("a", "X")), Inbox("a") + ".1"} {
		for _, o := range others {
			if prefix, _, _ := strings.Cut(o, ">"); strings.HasPrefix(s, prefix) {
				t.Errorf("shard b hears %s", s)
			}
		}
	}
}
