package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// named is the demo under another name, with weights of its own.
func named(name string) job.Model {
	m := demo()
	m.Name, m.Fingerprint = name, "f-"+name
	return m
}

// served names the models in their order.
func (w *fakeWorld) served() string {
	var names []string
	for _, m := range w.k.Machine().Models() {
		names = append(names, m.Name)
	}
	return strings.Join(names, " ")
}

// TestJobsGoWhereTheirModelIs registers nodes of different models.
func TestJobsGoWhereTheirModelIs(t *testing.T) {
	w := leads(t)
	w.join("a", named("x"))
	w.join("b", named("y"), named("z"))
	if got := w.served(); got != "x y z" {
		t.Fatalf("the cluster serves %s", got)
	}
	for _, c := range []struct{ model, want string }{{"", "x a"}, {"z", "z b"}, {"y", "y "}} {
		var id job.ID
		w.k.Create(job.Request{Prompt: "a ball", Model: c.model}, func(r job.Record, err error) {
			if err != nil {
				t.Fatal(err)
			}
			id = r.ID
		})
		w.k.Settle()
		r := w.record(id)
		got := r.Spec.Model + " "
		for _, n := range r.Plan.Nodes {
			got += string(n)
		}
		if got != c.want {
			t.Errorf("a job of %q is %q, want %q", c.model, got, c.want)
		}
	}

	var field *job.FieldError
	_, err := w.k.ProposeJob(job.Request{Prompt: "a", Model: "w"})
	if !errors.As(err, &field) || field.Allowed != `"x", "y", "z"` {
		t.Errorf("model w: %v", err)
	}
}

// TestOneBadModelDoesNotKeepANode from running jobs of its others.
func TestOneBadModelDoesNotKeepANode(t *testing.T) {
	w := leads(t)
	w.join("a", named("x"), named("y"))
	bad := named("y")
	bad.Fingerprint = "f-other"
	a := w.join("b", bad, named("x"))
	if len(a.Refused) != 1 || !strings.Contains(a.Refused[0], `"y"`) {
		t.Errorf("%+v", a)
	}
	nodes, _ := w.k.Nodes()
	if n := nodes[1]; !slices.Equal(n.Models, []string{"x"}) || len(n.Refused) != 1 {
		t.Errorf("%+v", n)
	}
	a = w.register("c", bad)
	if a.Accepted || !a.Final || !strings.Contains(a.Reason, "to change it") {
		t.Errorf("a node with nothing but other weights: %+v", a)
	}

	s := w.k.Served()
	if len(s) != 2 || !s[0].Default || s[1].Default ||
		!slices.Equal(s[0].Shards.Have, []string{"name-a", "name-b"}) ||
		!slices.Equal(s[1].Shards.Free, []string{"name-a"}) {
		t.Errorf("%+v %+v", s[0].Shards, s[1].Shards)
	}
}

// TestGoodWeightsTakeThePlaceOfDamagedOnes for one model, on the nodes that have these.
func TestGoodWeightsTakeThePlaceOfDamagedOnes(t *testing.T) {
	w := leads(t)
	bad := named("y")
	bad.Fingerprint, bad.Damage = "f-bad", "a weight is NaN"
	w.join("a", bad, named("x"))
	w.join("b", bad)
	w.join("c", named("y"))
	nodes, _ := w.k.Nodes()
	if len(nodes) != 2 || !slices.Equal(nodes[0].Models, []string{"x"}) || nodes[1].ID != "c" {
		t.Errorf("%+v", nodes)
	}
}

// TestModelsThatNobodyHasAreForgotten after a while, and at once where all shards are replaced.
func TestModelsThatNobodyHasAreForgotten(t *testing.T) {
	w := leads(t)
	w.join("a", named("x"))
	w.join("b", named("y"))
	id := w.create(0) // of x
	w.take()
	if w.k.Cancel(id) != nil {
		t.Fatal("cannot cancel")
	}
	say[wire.Ack](w, wire.Failure{Node: "a", Work: wire.Work{Job: id, Attempt: 1}, Cancelled: true,
		Peer: -1, Reason: "cancelled"})
	say[wire.Ack](w, wire.Goodbye{Node: "a"})
	for left := modelKept + time.Minute; left > 0; left -= time.Second {
		w.beat("b", nil)
		w.pass(time.Second)
		if left > time.Minute+2*time.Second && w.served() != "x y" {
			t.Fatalf("%v too early: %s", left, w.served())
		}
	}
	if got := w.served(); got != "y" {
		t.Errorf("%s is served after %v", got, modelKept)
	}

	say[wire.Ack](w, wire.Goodbye{Node: "b"})
	w.join("c", named("z"))
	if got := w.served(); got != "z" {
		t.Errorf("%s is served by a node of z alone", got)
	}
}

// TestAModelWithJobsIsNotForgotten however long no node has it.
func TestAModelWithJobsIsNotForgotten(t *testing.T) {
	w := leads(t)
	w.join("a", named("x"))
	id := w.create(2)
	say[wire.Ack](w, wire.Goodbye{Node: "a"})
	w.pass(time.Minute)
	w.join("b", named("y"))
	if got := w.served(); got != "x y" || w.record(id).State != job.Queued {
		t.Errorf("%s is served, the job is %s", got, w.record(id).State)
	}
	if v, _ := w.k.View(id); !strings.Contains(v.Waiting, `has model "x"`) {
		t.Errorf("the job %s", v.Waiting)
	}
}

// old encodes a command as a coordinator of before several models did.
func old(t *testing.T, c command) []byte {
	t.Helper()
	c.Version, c.Now = modelsSince-1, time.Unix(1, 0).UTC()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return seal(data)
}

// TestOldLogsHaveOneModel reads what a coordinator of one model has written: a second one took the
// place of the first, under whatever name.
func TestOldLogsHaveOneModel(t *testing.T) {
	m := NewMachine()
	x, y := named("x"), named("y")
	create := &creation{Spec: spec(), QueuedMax: 2, KeptMax: 2}
	create.Spec.Model = "x"
	steps := []struct {
		c    command
		want string
	}{
		{command{Kind: kindModel, Model: &x}, ""},
		{command{Kind: kindModel, Model: &y}, "this cluster serves"},
		{command{Kind: kindCreate, Job: "j", Create: create}, ""},
		{command{Kind: kindModel, Model: &y, Replace: true}, "this cluster serves"},
		{command{Kind: kindCancel, Job: "j"}, ""},
		{command{Kind: kindModel, Model: &y, Replace: true}, ""},
	}
	for i, s := range steps {
		_, err := m.Apply(uint64(i), old(t, s.c))
		if (err == nil) != (s.want == "") || err != nil && !strings.Contains(err.Error(), s.want) {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if all := m.Models(); len(all) != 1 || all[0].Name != "y" {
		t.Errorf("the models are %+v", all)
	}
}

// TestOldSnapshotsHaveOneModel and are read all the same.
func TestOldSnapshotsHaveOneModel(t *testing.T) {
	const text = `{"v":6,"model":%s,"jobs":[],"trash":[]}`
	x, err := json.Marshal(named("x"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadSnapshot(strings.NewReader(strings.Replace(text, "%s", string(x), 1)))
	if err != nil || len(m.Models()) != 1 || m.Models()[0].Fingerprint != "f-x" {
		t.Fatalf("%v", err)
	}
	none := `{"name":"","fingerprint":"","heads":0,"defaults":{}}`
	m, err = ReadSnapshot(strings.NewReader(strings.Replace(text, "%s", none, 1)))
	if err != nil || len(m.Models()) != 0 {
		t.Fatalf("no model: %v", err)
	}

	// What is written again has the models, and is read with them.
	w := leads(t)
	w.join("a", named("x"), named("y"))
	s, err := w.k.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	again, err := ReadSnapshot(&b)
	if err != nil || len(again.Models()) != 2 {
		t.Fatalf("%v", err)
	}
}

// TestTheTypeIsThatOfTheDevices: a job that names none computes in what the registered nodes are
// made for, also where the cluster had other nodes before. A node that is refused changes nothing.
func TestTheTypeIsThatOfTheDevices(t *testing.T) {
	w := leads(t)
	on := func(dtype string) job.Model {
		m := named("x")
		m.Defaults.DType = dtype
		return m
	}
	dtype := func(asked string) string {
		t.Helper()
		p, err := w.k.ProposeJob(job.Request{Prompt: "a ball", DType: asked})
		if err != nil {
			t.Fatal(err)
		}
		return p.spec.DType
	}

	w.join("cpu", on("fp32"))
	if got := dtype(""); got != "fp32" {
		t.Errorf("on a CPU it is %s", got)
	}
	gpu := wire.Registration{Node: "gpu", Name: "gpu", Model: on("bf16"), Arithmetic: "cuda-v3",
		Threads: 1, Route: "nats-route://gpu:1"}
	if a := say[wire.Welcome](w, gpu); a.Accepted {
		t.Error("a cluster of CPUs took a GPU")
	}
	if got := dtype(""); got != "fp32" {
		t.Errorf("after a GPU was refused it is %s", got)
	}

	w.k.lead.removeNode("cpu", "was shut down")
	if got := dtype(""); got != "fp32" {
		t.Errorf("without a node it is %s, not what the last ones had", got)
	}
	if a := say[wire.Welcome](w, gpu); !a.Accepted {
		t.Errorf("the GPU is refused: %s", a.Reason)
	}
	for asked, want := range map[string]string{"": "bf16", "fp32": "fp32"} {
		if got := dtype(asked); got != want {
			t.Errorf("on a GPU %q is %s", asked, got)
		}
	}

	// A node of an earlier release says nothing, and so changes nothing.
	old := gpu
	old.Node, old.Route, old.Model = "old", "nats-route://old:1", on("")
	if a := say[wire.Welcome](w, old); !a.Accepted || dtype("") != "bf16" {
		t.Errorf("%+v; with a node that says nothing it is %s", a, dtype(""))
	}
}
