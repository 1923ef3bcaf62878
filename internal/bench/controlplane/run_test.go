package controlplane

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// small is a cluster that a test can load, on a machine with other work, too.
func small() Config {
	return Config{Coordinators: 1, Shards: 16, PerHost: 8, Ranks: 4, Steps: 4,
		StepTime: 20 * time.Millisecond, CheckpointBytes: 256, PreviewBytes: 64, Load: time.Second,
		Rate: 8, CancelOf: 3, Restart: true, Seed: 1}
}

// TestNothingAcknowledgedIsLost loads a coordinator within the process, restarts all shards in the
// midst of it, and looks whether the result tells of all that was asked.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	cfg := small()
	cfg.Say = t.Logf
	r := measured(t, cfg)

	// A machine with other work may be too slow for one of each kind in so short a time.
	missing := func() (kinds []string) {
		for _, kind := range []string{kindCreate, kindSaved, kindHeartbeat, kindList} {
			if r.Steady.Each[kind].Count == 0 {
				kinds = append(kinds, kind)
			}
		}
		return kinds
	}
	for len(missing()) > 0 && cfg.Load < 16*time.Second {
		cfg.Load *= 4
		r = measured(t, cfg)
	}
	if kinds := missing(); kinds != nil {
		t.Errorf("not timed: %v of %+v", kinds, r.Steady.Each)
	}

	s := r.Steady
	if s.Commands.Count == 0 || s.Commands.P99 <= 0 || s.EntriesPerSecond <= 0 ||
		s.BytesPerSecond <= 0 || s.Snapshot.Bytes == 0 || s.Metrics.Bytes == 0 {
		t.Errorf("the load is not told whole: %+v", s)
	}
	if r.Start.Register.Count < cfg.Shards || r.Restart == nil ||
		r.Restart.Register.Count < cfg.Shards {
		t.Errorf("not all shards registered twice: %+v, %+v", r.Start, r.Restart)
	}
	if j := r.Jobs; j.Completed == 0 || j.Acknowledged != j.Completed+j.Cancelled+j.Failed {
		t.Errorf("clips do not add up: %+v", j)
	}
	checkPrinted(t, r)
}

// measured is the result of a run that lost nothing.
func measured(t *testing.T, cfg Config) *Result {
	t.Helper()
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	return r
}

// checkPrinted looks for what people and programs read.
func checkPrinted(t *testing.T, r *Result) {
	t.Helper()
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if k := r.Kinds(); k[0].Name != "all commands" || k[0].Count != r.Steady.Commands.Count {
		t.Errorf("the first line is %+v", k[0])
	}
	var names []string
	for _, row := range r.Rows() {
		if row.Value == "" || strings.Contains(row.Value, "%!") {
			t.Errorf("%s is %q", row.Name, row.Value)
		}
		names = append(names, row.Name)
	}
	for _, want := range []string{"Raft's log", "leader", "all shards restarted", "clips", "machine"} {
		if !strings.Contains(strings.Join(names, "\n"), want) {
			t.Errorf("no row says %s: %q", want, names)
		}
	}
}

func TestCheckRefusesWhatCannotBeMeasured(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"coordinators is 2; allowed: 1, 3":        func(c *Config) { c.Coordinators = 2 },
		"shards is 0; allowed: 1 to 8192":         func(c *Config) { c.Shards = 0 },
		"shards of a host is 65":                  func(c *Config) { c.PerHost = 65 },
		"ranks is 3; allowed: a power of 2":       func(c *Config) { c.Ranks = 3 },
		"locked is true; allowed: only processes": func(c *Config) { c.Locked = true },
		"ranks is 32":                             func(c *Config) { c.Ranks = 32 },
		"steps is 0":                              func(c *Config) { c.Steps = 0 },
		"step time is 0s; allowed: 1ms to 1h":     func(c *Config) { c.StepTime = 0 },
		"bytes of checkpoints and previews is -1": func(c *Config) { c.CheckpointBytes = -1 },
		"rate is -1; allowed: 0 to 1000":          func(c *Config) { c.Rate = -1 },
		"duration is 0s; allowed: 1s to 1h":       func(c *Config) { c.Load = 0 },
		"shards that are killed is 9":             func(c *Config) { c.Kills = 9 },
		"failover is true; allowed: false":        func(c *Config) { c.Failover = true },
	} {
		cfg := small()
		change(&cfg)
		if err := cfg.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	cfg := Default()
	if err := cfg.Check(); err != nil {
		t.Error(err)
	}
	if r := cfg.rate(); r < 4 || r > 5 { // 0.75 * 1024 shards / 8 ranks / 21 s
		t.Errorf("the default rate is %v clips a second", r)
	}
}
