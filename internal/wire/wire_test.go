package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

func model() job.Model {
	return job.Model{Name: "demo", Fingerprint: "f", Heads: 6, HeadDim: 32, Layers: 8,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, TemporalScale: 4, SpatialScale: 8,
		Defaults: job.Defaults{Width: 96, Height: 64, Frames: 33, Steps: 30, FPS: 16,
			GuidanceScale: 4, FlowShift: 3}}
}

func plan() job.Plan {
	return job.Plan{Job: "j", Attempt: 1, Mesh: job.Mesh{CFG: 1, Ulysses: 2},
		Nodes: []job.NodeID{"a", "b"}, Spec: spec()}
}

func spec() job.Spec {
	s, err := model().Resolve(job.Request{Prompt: "p"}, nil)
	if err != nil {
		panic(err)
	}
	return s
}

func object() job.Object {
	return job.Object{Name: "o", Size: 3, SHA256: strings.Repeat("0a", 32)}
}

func roundTrip[T any](t *testing.T, m T) {
	t.Helper()
	got, err := Decode[T](Encode(m))
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v; want %+v", got, err, m)
	}
}

func other() job.Model {
	m := model()
	m.Name = "other"
	return m
}

func TestMessagesSurviveTheWire(t *testing.T) {
	w := Work{Job: "j", Attempt: 1, Rank: 2}
	roundTrip(t, Preview{Node: "n", Work: Work{Job: "j", Attempt: 1}, Step: 5,
		Data: []byte("RIFFsizeWEBPVP8X")})
	roundTrip(t, Kept{Node: "n", Work: w, Name: "text.0", Object: object()})
	roundTrip(t, Registration{Node: "n", Name: "a", ProcessID: "s", Model: model(), Device: "cpu",
		Threads: 2, Route: "nats-route://h:1", Capabilities: []string{"mp4"}, Work: w,
		More: []job.Model{other()}, Loaded: []string{"other"}})
	roundTrip(t, Registration{Node: "n", Name: "a", Model: model(), Host: "h", Rack: "r",
		Rates: topology.Rates{Net: 1e9, Far: 5e8}, Echoes: true,
		Delays: topology.Delays{Far: 0.01}})
	roundTrip(t, Welcome{Accepted: true, Interval: time.Second, Routes: []string{"nats-route://h:1"}})
	roundTrip(t, Heartbeat{Node: "n", State: Busy, RSS: 5, Work: w, Stage: job.StageLoad, Step: 3,
		Loaded: []string{"demo"}, Loading: "other", LoadTime: time.Second})
	roundTrip(t, Heartbeat{Node: "n", State: Idle, Rates: topology.Rates{Host: 2e9},
		Delays: topology.Delays{Net: 1e-4}})
	roundTrip(t, Pulse{Cancel: true})
	roundTrip(t, Pulse{Probe: &Peer{Node: "m", Class: topology.Net, Echoes: true}})
	roundTrip(t, Probe{Node: "n", Number: 1, Class: topology.Far, Echoes: true})
	roundTrip(t, Goodbye{Node: "n"})
	roundTrip(t, StartOrder{Plan: plan(), Rank: 1, Members: []Member{{Node: "a"},
		{Node: "b", Route: "nats-route://[::1]:9"}}})
	roundTrip(t, Stop{Job: "j", Attempt: 1, Cancel: true, Reason: "why"})
	roundTrip(t, Report{Node: "n", Progress: job.Progress{Job: "j", Attempt: 1, Total: 4, Done: 2,
		Stage: job.StageDenoise, ETA: time.Second}})
	roundTrip(t, Completion{Node: "n", Work: Work{Job: "j", Attempt: 1},
		Result: job.Result{Video: object(), Latents: object()}})
	roundTrip(t, Failure{Node: "n", Work: Work{Job: "j", Attempt: 1, Rank: 3}, Peer: -1, Reason: "broke"})
	roundTrip(t, Ack{OK: true})
}

// TestWorkIsWrittenFlat holds the JSON that nodes and coordinators of other versions read.
func TestWorkIsWrittenFlat(t *testing.T) {
	w := Work{Job: "j", Attempt: 2, Rank: 1}
	for _, m := range []any{Kept{Node: "n", Work: w}, Failure{Node: "n", Work: w}} {
		const want = `{"node":"n","job":"j","attempt":2,"rank":1,`
		if got := string(Encode(m)); !strings.HasPrefix(got, want) {
			t.Errorf("%T is %s, want %s...", m, got, want)
		}
	}
	w.Rank = 0
	for _, m := range []any{Completion{Node: "n", Work: w}, Saved{Node: "n", Work: w},
		Preview{Node: "n", Work: w}} {
		const want = `{"node":"n","job":"j","attempt":2,`
		if got := string(Encode(m)); !strings.HasPrefix(got, want) || strings.Contains(got, "rank") {
			t.Errorf("%T is %s, want %s...", m, got, want)
		}
	}
}

func refused[T any](t *testing.T, what string, m T) {
	t.Helper()
	if _, err := Decode[T](Encode(m)); err == nil {
		t.Errorf("%s is accepted", what)
	}
}

func TestBrokenMessagesAreRefused(t *testing.T) {
	long := strings.Repeat("x", textLimit+1)
	refused(t, "a registration without an id", Registration{Name: "a", Model: model()})
	refused(t, "an id with a dot", Registration{Node: "a.b", Model: model()})
	refused(t, "an id with a wildcard", Registration{Node: ">", Model: model()})
	refused(t, "a registration without a model", Registration{Node: "a"})
	refused(t, "a long device", Registration{Node: "a", Device: long, Model: model()})
	refused(t, "a host with a space", Registration{Node: "a", Host: "a b", Model: model()})
	refused(t, "a long rack", Registration{Node: "a", Rack: long, Model: model()})
	refused(t, "a rate below 0", Registration{Node: "a", Model: model(),
		Rates: topology.Rates{Net: -1}})
	refused(t, "a rate of an idle node below 0", Heartbeat{Node: "a", State: Idle,
		Rates: topology.Rates{Net: -1}})
	refused(t, "a delay below 0", Registration{Node: "a", Model: model(),
		Delays: topology.Delays{Far: -1}})
	refused(t, "a delay without a bound", Heartbeat{Node: "a", State: Idle,
		Delays: topology.Delays{Net: topology.DelayMost + 1}})
	refused(t, "a link of no class", Probe{Node: "n", Number: 1, Class: 9})
	refused(t, "a measurement without a number", Probe{Node: "n"})
	refused(t, "minus threads", Registration{Node: "a", Threads: -1, Model: model()})
	refused(t, "two models of a name", Registration{Node: "a", Model: model(),
		More: job.Models{model()}})
	refused(t, "a broken second model", Registration{Node: "a", Model: model(), More: job.Models{{}}})
	refused(t, "too many models", Registration{Node: "a", Model: model(),
		More: make([]job.Model, job.ModelsLimit)})
	refused(t, "a loaded model with a long name", Heartbeat{Node: "a", State: Idle,
		Loaded: []string{long}})
	refused(t, "a load before the start", Heartbeat{Node: "a", State: Idle, LoadTime: -1})
	refused(t, "work without an attempt", Registration{Node: "a", Model: model(), Work: Work{Job: "j"}})
	refused(t, "no state", Heartbeat{Node: "a"})
	refused(t, "a rank of -1", Heartbeat{Node: "a", State: Busy, Work: Work{"j", 1, -1}})
	refused(t, "no stage", Report{Node: "a", Progress: job.Progress{Job: "j", Attempt: 1}})
	refused(t, "more than all", Report{Node: "a", Progress: job.Progress{Job: "j", Attempt: 1,
		Stage: job.StageText, Done: 2, Total: 1}})
	refused(t, "a checkpoint of another rank", Saved{Node: "a", Work: Work{"j", 1, 1},
		Checkpoint: job.Checkpoint{Step: 1, Object: object()}})
	refused(t, "no objects", Completion{Node: "a", Work: Work{Job: "j", Attempt: 1}})
	refused(t, "a long reason", Failure{Node: "a", Work: Work{Job: "j", Attempt: 1}, Reason: long})
	refused(t, "a peer of -2", Failure{Node: "a", Work: Work{Job: "j", Attempt: 1}, Peer: -2})
	refused(t, "a rank without a node", StartOrder{Plan: plan(), Rank: 2, Members: make([]Member, 2)})
	refused(t, "too few members", StartOrder{Plan: plan()})
	refused(t, "a stop for nothing", Stop{})
	refused(t, "a preview that is none", Preview{Node: "n", Work: Work{Job: "j", Attempt: 1}, Step: 5,
		Data: []byte("<html></html>   ")})
	refused(t, "a preview too large", Preview{Node: "n", Work: Work{Job: "j", Attempt: 1}, Step: 5,
		Data: append([]byte("RIFFsizeWEBP"), make([]byte, PreviewLimit)...)})
	refused(t, "a part without a name", Kept{Node: "a", Work: Work{Job: "j", Attempt: 1}, Object: object()})
	refused(t, "a part without bytes", Kept{Node: "a", Work: Work{Job: "j", Attempt: 1}, Name: "text.0"})
	order := StartOrder{Plan: plan(), Members: []Member{{Node: "a"}, {Node: "b"}}}
	order.Plan.Parts = map[string]job.Object{"/": object()}
	refused(t, "an order with a strange part", order)
	if _, err := Decode[Ack](make([]byte, MessageLimit+1)); err == nil {
		t.Error("a message over the limit is accepted")
	}
}

// TestForgedOrdersAreRefused spoils an order in one place at a time.
func TestForgedOrdersAreRefused(t *testing.T) {
	order := func() StartOrder {
		return StartOrder{Plan: plan(), Rank: 1, Members: []Member{{Node: "a"}, {Node: "b"}}}
	}
	roundTrip(t, order())
	for name, spoil := range map[string]func(*StartOrder){
		"no width":          func(s *StartOrder) { s.Plan.Spec.Width = 0 },
		"minus frames":      func(s *StartOrder) { s.Plan.Spec.Frames = -5 },
		"no steps":          func(s *StartOrder) { s.Plan.Spec.Steps = 0 },
		"a huge prompt":     func(s *StartOrder) { s.Plan.Spec.Prompt = strings.Repeat("x", 1<<16) },
		"an unknown format": func(s *StartOrder) { s.Plan.Spec.Format = "html" },
		"a mesh that wraps": func(s *StartOrder) { s.Plan.Mesh = job.Mesh{CFG: 1 << 33, Ulysses: 1 << 31} },
		"a mesh of minus":   func(s *StartOrder) { s.Plan.Mesh = job.Mesh{CFG: -1, Ulysses: -2} },
		"a node twice": func(s *StartOrder) {
			s.Plan.Nodes[1], s.Members[1].Node = "a", "a"
		},
		"shares of nothing":        func(s *StartOrder) { s.Plan.Shares = []float64{0} },
		"step -1":                  func(s *StartOrder) { s.Plan.Resume.Step = -1 },
		"minus checkpoints":        func(s *StartOrder) { s.Plan.CheckpointEvery = -1 },
		"a job of a path":          func(s *StartOrder) { s.Plan.Job = "../x" },
		"an identity of another's": func(s *StartOrder) { s.Members[0].Identity = "x" },
		"an input of an exabyte": func(s *StartOrder) {
			o := object()
			o.Size = 1 << 60
			s.Plan.Parts = map[string]job.Object{"text.0": o}
		},
		"a long route": func(s *StartOrder) { s.Members[0].Route = strings.Repeat("x", 1<<10) },
	} {
		s := order()
		spoil(&s)
		refused(t, name, s)
	}
}

// TestRoutesAreHostAndPort: a shard dials nothing else.
func TestRoutesAreHostAndPort(t *testing.T) {
	for _, r := range []string{"nats-route://h:1", "nats-route://10.0.0.1:65535",
		"nats-route://[fe80::1]:7"} {
		roundTrip(t, Routes{Routes: []string{r}})
	}
	for _, r := range []string{"h:1", "nats://h:1", "nats-route://h", "nats-route://h:0",
		"nats-route://:1", "nats-route://h:99999", "nats-route://u:p@h:1", "nats-route://h:1/x",
		"nats-route://h:1?x", "nats-route://h:1#x", "nats-route:h:1", "http://h:1", "::", "\x00",
		"nats-route://" + strings.Repeat("h", routeLimit) + ":1"} {
		refused(t, "route "+r, Routes{Routes: []string{"nats-route://h:1", r}})
		refused(t, "route "+r, Welcome{Accepted: true, Routes: []string{r}})
		refused(t, "route "+r, Registration{Node: "a", Model: model(), Route: r})
		refused(t, "route "+r, StartOrder{Plan: plan(), Members: []Member{{Node: "a", Route: r},
			{Node: "b"}}})
	}
	refused(t, "a measurement of no node", Pulse{Probe: &Peer{Node: "a.b"}})
}

// FuzzDecode reads any bytes as every message: no panic, and what is accepted is accepted again.
func FuzzDecode(f *testing.F) {
	f.Add(Encode(Registration{Node: "n", Model: model()}))
	f.Add(Encode(StartOrder{Plan: plan(), Members: make([]Member, 2)}))
	f.Add(Encode(Failure{Node: "n", Work: Work{Job: "j", Attempt: 1}}))
	f.Add([]byte(`{"node":"a","state":"busy"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		again[Registration](t, data)
		again[Heartbeat](t, data)
		again[Report](t, data)
		again[Completion](t, data)
		again[Failure](t, data)
		again[Saved](t, data)
		again[Kept](t, data)
		again[Preview](t, data)
		again[StartOrder](t, data)
		again[Stop](t, data)
		again[Probe](t, data)
		again[Routes](t, data)
		again[Welcome](t, data)
		again[Pulse](t, data)
	})
}

func again[T any](t *testing.T, data []byte) {
	m, err := Decode[T](data)
	if err != nil {
		return
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) > MessageLimit {
		return // escapes can make it longer
	}
	if _, err := Decode[T](out); err != nil {
		t.Fatalf("%s is accepted once only: %v", data, err)
	}
}
