package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestEntriesThatCannotBeReadStopTheMachine tells those that are damaged, after which nothing is
// known, from those that are refused, which change nothing on any coordinator.
func TestEntriesThatCannotBeReadStopTheMachine(t *testing.T) {
	good, err := busy()[0].encode()
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[bytes.Index(good, []byte("ball"))] ^= 1
	f := func(data []byte, stops bool) {
		t.Helper()
		m := machine()
		before := snapshotOf(t, m)
		_, err := m.Apply(7, data)
		if err == nil || strings.Contains(err.Error(), "\n") || (m.stopped != nil) != stops {
			t.Fatalf("%.60q: %v, stopped %v", data, err, m.stopped)
		}
		if !stops {
			if !bytes.Equal(before, snapshotOf(t, m)) {
				t.Errorf("%.60q: the refused entry changed something", data)
			}
			return
		}
		if _, err := m.Apply(8, good); err == nil {
			t.Errorf("%.60q: the machine goes on", data)
		}
		if _, err := m.Snapshot(); err == nil {
			t.Errorf("%.60q: there is a snapshot of what is not known", data)
		}
	}
	for _, data := range []string{"", "{", "null", `{"v":0}`, `{"v":99,"kind":"create"}`,
		`{"v":1,"kind":"nonsense"}`, `{"v":6,"kind":"create"}`, string(flipped), string(good[:99]),
		string(good) + "x"} {
		f([]byte(data), true)
	}
	for _, c := range []command{{Kind: kindCreate}, {Kind: kindModel}, {Kind: kindMember},
		{Kind: kindCreate, Job: "../x", Create: &creation{QueuedMax: 1, KeptMax: 1, Spec: spec()}},
		{Kind: kindCreate, Job: "a", Create: &creation{QueuedMax: 1, KeptMax: 1}},
		{Kind: kindCreate, Job: "a", Create: &creation{QueuedMax: 1, KeptMax: -5, Spec: spec()}},
		{Kind: kindMember, Member: &Peer{ID: "a b", HTTP: "http://x"}},
		{Kind: kindDrain, Drain: &Drain{Node: ">"}}, {Kind: kindCluster, Cluster: "a b"}} {
		data, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		f(data, false)
	}
	f([]byte(`{"v":5,"kind":"create"}`), false) // of before there were checksums
}

// edited returns a snapshot with a busy job in which f has changed something.
func edited(t *testing.T, f func(s, job map[string]any)) []byte {
	t.Helper()
	m := machine()
	for _, c := range busy() {
		if _, err := m.state.apply(c); err != nil {
			t.Fatal(err)
		}
	}
	var s map[string]any
	if err := json.Unmarshal(snapshotOf(t, m), &s); err != nil {
		t.Fatal(err)
	}
	f(s, s["jobs"].([]any)[0].(map[string]any))
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestHostileSnapshotsAreRefused restores what no command leads to.
func TestHostileSnapshotsAreRefused(t *testing.T) {
	plan := func(j map[string]any) map[string]any { return j["plan"].(map[string]any) }
	for name, f := range map[string]func(s, j map[string]any){
		"jobs[0].plan":              func(_, j map[string]any) { plan(j)["nodes"] = []any{} },
		"jobs[0].plan.attempt":      func(_, j map[string]any) { delete(j, "plan") },
		"jobs[0].width":             func(_, j map[string]any) { j["spec"].(map[string]any)["width"] = 0 },
		"jobs[0].state":             func(_, j map[string]any) { j["state"] = "flying" },
		"jobs[0].id":                func(_, j map[string]any) { j["id"] = "../../x" },
		"jobs[0].parts":             func(_, j map[string]any) { j["parts"] = map[string]any{"/": nil} },
		"jobs[0].checkpoint.step":   func(_, j map[string]any) { j["checkpoint"].(map[string]any)["step"] = -1 },
		"jobs[0].error":             func(_, j map[string]any) { j["error"] = strings.Repeat("x", 1<<20) },
		"jobs[1].id":                func(s, j map[string]any) { s["jobs"] = []any{j, j} },
		"models[0]":                 func(s, _ map[string]any) { first(s)["temporal_scale"] = 0 },
		"models[1]":                 func(s, _ map[string]any) { twice(s) },
		"jobs[0].model":             func(s, _ map[string]any) { first(s)["name"] = "another" },
		"trash[0].object":           func(s, _ map[string]any) { s["trash"] = []any{map[string]any{}} },
		"drains[0].node":            func(s, _ map[string]any) { s["drains"] = []any{map[string]any{"node": "*"}} },
		"members.http_address":      func(s, _ map[string]any) { s["members"] = map[string]any{"c2": "file:///x"} },
		"cluster":                   func(s, _ map[string]any) { s["cluster"] = "a/b" },
		"jobs[0].num_frames x size": func(_, j map[string]any) { tiny(j) },
		"jobs[1].plan.nodes":        func(s, j map[string]any) { s["jobs"] = []any{j, twin(j)} },
		"jobs[0].content_type":      func(_, j map[string]any) { completed(j, "text/html") },
		"shares.ledger.charges":     func(s, _ map[string]any) { s["jobs"] = []any{} },
		"shares.ledger.levels":      func(s, _ map[string]any) { level(s)["owner "] = nil },
		"shares.owners":             func(s, _ map[string]any) { shares(s)["owners"] = below() },
	} {
		m, err := ReadSnapshot(bytes.NewReader(edited(t, f)))
		var e *job.FieldError
		if !errors.As(err, &e) || e.Field != name || m != nil || len(err.Error()) > 1000 ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %.300v", name, err)
		}
	}
	good := edited(t, func(s, j map[string]any) { completed(j, "video/webm"); delete(s, "shares") })
	if _, err := ReadSnapshot(bytes.NewReader(good)); err != nil {
		t.Error(err)
	}
}

// first is the first model.
func first(s map[string]any) map[string]any { return s["models"].([]any)[0].(map[string]any) }

// shares and ledger are who has used how much.
func shares(s map[string]any) map[string]any { return s["shares"].(map[string]any) }
func below() any                             { return map[string]any{"o": -1} }
func ledger(s map[string]any) map[string]any { return shares(s)["ledger"].(map[string]any) }
func level(s map[string]any) map[string]any {
	return ledger(s)["levels"].(map[string]any)["0"].(map[string]any)
}

func twice(s map[string]any) { s["models"] = []any{first(s), first(s)} }

func tiny(j map[string]any) {
	for _, at := range []map[string]any{j, j["plan"].(map[string]any)} {
		at["spec"].(map[string]any)["width"] = 1
	}
}

func twin(j map[string]any) map[string]any {
	plan := j["plan"].(map[string]any)
	out, other := map[string]any{}, map[string]any{}
	for k, v := range j {
		out[k] = v
	}
	for k, v := range plan {
		other[k] = v
	}
	out["id"], out["key"], other["job"], out["plan"] = "b", "other", "b", other
	return out
}

func completed(j map[string]any, kind string) {
	o := map[string]any{"name": "o", "size": 1, "sha256": strings.Repeat("0a", 32)}
	j["state"], j["result"] = "completed", map[string]any{"video": o, "latents": o,
		"content_type": kind}
	delete(j, "checkpoint")
	delete(j, "parts")
}

// TestEveryFlippedBitIsSeen flips each bit of an entry, those of its checksum included.
func TestEveryFlippedBitIsSeen(t *testing.T) {
	good, err := busy()[0].encode()
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(good) {
		entry := bytes.Clone(good)
		entry[bit/8] ^= 1 << (bit % 8)
		if CheckEntry(entry) == nil {
			t.Fatalf("bit %d of %q is flipped, and the entry is taken", bit, good)
		}
	}
}
