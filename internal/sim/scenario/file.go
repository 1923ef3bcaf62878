package scenario

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/longtake/longtake/internal/userfile"
)

// Scenario is what a file says. Zero fields have taken their defaults.
type Scenario struct {
	Name string `yaml:"name"`
	Seed uint64 `yaml:"seed"`
	// Duration is how long requests and faults come. Rest is how much longer the cluster may take
	// for what waits then.
	Duration Duration `yaml:"duration"`
	Rest     Duration `yaml:"rest"`

	Cluster      Cluster      `yaml:"cluster"`
	Coordinators Coordinators `yaml:"coordinators"`
	Arrivals     Arrivals     `yaml:"arrivals"`
	Clips        []Class      `yaml:"clips"`
	Faults       []Fault      `yaml:"faults"`
	Operations   []Operation  `yaml:"operations"`
}

// Cluster is the devices, and what runs on them: a process for each, of one program, with the same
// models on all disks.
type Cluster struct {
	// Pool is a line such as 8x(8xH100)+ib400 or a file, as longtake plan takes them.
	Pool string `yaml:"pool"`
	// Models are on all machines; the first one is loaded at the start, and Room is how many of them
	// a device holds at a time.
	Models []string `yaml:"models"`
	Room   int      `yaml:"room"`
	// Profile is the program by which times are predicted.
	Profile string `yaml:"profile"`
	// Load is what loading a model takes, Boot a process until it registers again.
	Load Duration `yaml:"load"`
	Boot Duration `yaml:"boot"`
	// Later has the last hosts of the pool join in the course of the day.
	Later Later `yaml:"later"`
}

// Later is hosts that join: those at the end of the pool, which are not there before.
type Later struct {
	Hosts int      `yaml:"hosts"`
	At    Duration `yaml:"at"`
}

// Coordinators are their number and settings.
type Coordinators struct {
	Members int `yaml:"members"`
	// CheckpointEvery is in steps. Queued bounds the jobs that wait, Kept all that are remembered.
	CheckpointEvery int `yaml:"checkpoint-every"`
	Queued          int `yaml:"queued"`
	Kept            int `yaml:"kept"`
	// LostAfter is the silence after which a node is lost, HungAfter the least time after which a
	// device is taken to hang, Yield how long a preempted job may take to a step boundary.
	LostAfter Duration `yaml:"lost-after"`
	HungAfter Duration `yaml:"hung-after"`
	Yield     Duration `yaml:"yield"`
	// Tick is how often the leader looks at what time has brought.
	Tick Duration `yaml:"tick"`
}

// Arrivals says when requests come. Their number is not fixed by the rate: a Poisson process of 400
// an hour has 400 in some hours, and 370 or 430 in others.
type Arrivals struct {
	// Rate is the mean, such as 400/h. Process is poisson, as of many people who know nothing of each
	// other, or even, as of a program that asks again and again.
	Rate    Rate   `yaml:"rate"`
	Process string `yaml:"process"`
	// Day has the weights of equal parts of the duration, such as one for each hour; none: all alike.
	Day []float64 `yaml:"day"`
	// After is when the first may come, once the nodes have registered.
	After Duration `yaml:"after"`
}

// Class is a kind of clip that is asked for.
type Class struct {
	Name string `yaml:"name"`
	// Share is of the requests, in relation to the other classes'.
	Share float64 `yaml:"share"`

	// What a request says; zero fields are the model's defaults, as for any client.
	Model    string   `yaml:"model"`
	Size     string   `yaml:"size"`
	Frames   int      `yaml:"frames"`
	Seconds  float64  `yaml:"seconds"`
	Steps    int      `yaml:"steps"`
	Guidance *float64 `yaml:"guidance"`
	Shards   int      `yaml:"shards"` // 0: as many as pay
	Priority int      `yaml:"priority"`
	Team     string   `yaml:"team"`
	// Objective is the time in which a clip is to be ready; 0: there is none.
	Objective Duration `yaml:"objective"`
}

// Fault is what goes wrong at random times: Count times in all, or at a Rate. Kinds are a process
// that ends, a device that hangs, a process that stands still, a network that is cut, a straggler,
// and the end of the leading coordinator's process.
type Fault struct {
	Kind string `yaml:"kind"`
	// Scope is device, or host for all devices of one at a time.
	Scope string `yaml:"scope"`
	Count int    `yaml:"count"`
	Rate  Rate   `yaml:"rate"`
	// For is the mean time until all is well again.
	For Duration `yaml:"for"`
	// Factor is how many times as long a slow device takes.
	Factor float64 `yaml:"factor"`
}

// Operation is what operators do: to some hosts, one after the other, as an upgrade goes through a
// cluster.
type Operation struct {
	Kind string   `yaml:"kind"`
	At   Duration `yaml:"at"`
	// First is the number of the first host, from 0, Hosts how many there are, and Every the time from
	// one to the next.
	First int      `yaml:"first"`
	Hosts int      `yaml:"hosts"`
	Every Duration `yaml:"every"`
	// Within is how long a job of a drained host may go on, For how long it stays drained.
	Within Duration `yaml:"within"`
	For    Duration `yaml:"for"`
}

// Duration is a time.Duration that is written as 90s, 5m or 24h.
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode || v < 0 {
		return fmt.Errorf("line %d: a duration is %.40q; allowed: such as 90s, 5m or 24h", n.Line,
			n.Value)
	}
	*d = Duration(v)
	return nil
}

// String implements fmt.Stringer.
func (d Duration) String() string { return time.Duration(d).String() }

// Rate is how often something happens in a second. In files it is written as 400/h, 2/m or 50/d, as
// people say it.
type Rate float64

// UnmarshalYAML implements yaml.Unmarshaler.
func (r *Rate) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseRate(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: a rate is %.40q; allowed: such as 400/h; per s, m, h or d", n.Line,
			n.Value)
	}
	*r = v
	return nil
}

// ParseRate reads a rate such as 400/h.
func ParseRate(text string) (Rate, error) {
	number, unit, _ := strings.Cut(text, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
	var v float64
	var rest string
	n, _ := fmt.Sscanf(number, "%g%s", &v, &rest)
	if n != 1 || seconds == 0 || !(v >= 0 && v <= ratesMost) {
		return 0, fmt.Errorf("rate is %.40q; allowed: such as 400/h; per s, m, h or d, up to %g", text,
			float64(ratesMost))
	}
	return Rate(v / seconds), nil
}

const ratesMost = 1e6

// FileMax bounds a scenario's file, in bytes.
const FileMax = 64 << 10

// Read reads a scenario from YAML. It is strict: unknown keys, keys that stand twice and values
// that are not allowed are errors of one line, with the key. The least that it takes:
//
//	cluster: {pool: 8xH100}
//	arrivals: {rate: 60/h}
//	clips: [{size: 1280x720, shards: 8}]
//
// What needs the pool or the models to be judged, such as a size, is for Make.
func Read(text []byte) (*Scenario, error) {
	var s Scenario
	if err := userfile.YAML(text, FileMax, &s); err != nil {
		return nil, err
	}
	s.setDefaults()
	return &s, s.check()
}
