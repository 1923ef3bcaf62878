package controlplane

import (
	"fmt"
	"log/slog"
	"time"
)

// Config says what is loaded, and with what. Default has values for all of it but where
// coordinators run; Check says what is allowed.
type Config struct {
	// Coordinators are one or three. Program is the path of the program that each of them runs; "":
	// they run within this process. Locked gives all processes certificates.
	Coordinators int
	Program      string
	Locked       bool
	// Dir is where they keep their data, on whose disk Raft's log is written; "": a temporary one.
	Dir string

	// Shards are how many there are, PerHost of them on each host: in a locked cluster those of a
	// host have one certificate. Each has a connection to NATS of its own, as real ones do.
	Shards, PerHost int

	// A clip takes Ranks shards, and Steps steps of StepTime each. CheckpointBytes are stored with
	// every step; 0: there are no checkpoints. PreviewBytes are sent with them, at most every two
	// seconds; 0: no previews.
	Ranks, Steps    int
	StepTime        time.Duration
	CheckpointBytes int
	PreviewBytes    int
	// Arrivals are a Poisson process.
	// Rate is how many clips are asked for in a second, at random times; 0: as many as keep three
	// quarters of the shards at work. Load is for how long. A part of the clips is cancelled: one of
	// CancelOf; 0: none.
	Rate     float64
	Load     time.Duration
	CancelOf int
	// Kills are how many busy shards die without a word during the load.
	Kills int
	// Failover kills the leader after the load, while clips run. Restart then starts all shards again
	// at once.
	Failover, Restart bool

	// What is random follows from the seed; what the machine does meanwhile does not, so two runs ask
	// for the same clips and differ in their times.
	// Seed draws arrivals, prompts, and how long steps take.
	Seed uint64
	// Say is told what is going on; nil: nobody is. Log is of coordinators within this process.
	Say func(format string, args ...any)
	Log *slog.Logger
}

// Default is a cluster of a thousand GPUs, eight to a clip, at steps that are faster than those of
// large models on such GPUs.
func Default() Config {
	return Config{Coordinators: 1, Shards: 1024, PerHost: 8, Ranks: 8, Steps: 20,
		StepTime: time.Second, CheckpointBytes: 1024, PreviewBytes: 8192, Load: 30 * time.Second,
		CancelOf: 20, Kills: 8,
		Restart: true, Seed: 1}
}

// rate is how many clips are asked for in a second.
func (c *Config) rate() float64 {
	if c.Rate > 0 {
		return c.Rate
	}
	const busy = 0.75
	return busy * float64(c.Shards) / float64(c.Ranks) / c.clip().Seconds()
}

// clip is about how long a clip takes, once it has its shards.
func (c *Config) clip() time.Duration {
	return time.Duration(c.Steps)*c.StepTime + 2*tailTime
}

// Check refuses what cannot be measured. The error says what is allowed; nothing has started then.
func (c *Config) Check() error {
	bad := func(what string, v any, allowed string) error {
		return fmt.Errorf("%s is %v; allowed: %s", what, v, allowed)
	}

	// What would ask for more than this machine has is refused before anything starts.
	switch {
	case c.Coordinators != 1 && c.Coordinators != 3:
		return bad("coordinators", c.Coordinators, "1, 3")
	case c.Shards < 1 || c.Shards > shardsMax:
		return bad("shards", c.Shards, fmt.Sprintf("1 to %d", shardsMax))
	case c.PerHost < 1 || c.PerHost > perHostMax:
		return bad("shards of a host", c.PerHost, fmt.Sprintf("1 to %d", perHostMax))
	case c.Locked && c.Program == "":
		return bad("locked", c.Locked, "only processes of their own have certificates")
	case c.Ranks < 1 || c.Ranks > c.Shards || c.Ranks > ranksMax || c.Ranks&(c.Ranks-1) != 0:
		return bad("ranks", c.Ranks, fmt.Sprintf("a power of 2, up to %d and to all shards", ranksMax))
	case c.Steps < 1 || c.Steps > stepsMax:
		return bad("steps", c.Steps, fmt.Sprintf("1 to %d", stepsMax))
	case c.StepTime < time.Millisecond || c.StepTime > time.Hour:
		return bad("step time", c.StepTime, "1ms to 1h")
	case c.CheckpointBytes < 0 || c.CheckpointBytes > bytesMax || c.PreviewBytes < 0 ||
		c.PreviewBytes > previewMax:
		return bad("bytes of checkpoints and previews", fmt.Sprint(c.CheckpointBytes, ", ",
			c.PreviewBytes), fmt.Sprintf("0 to %d, and to %d", bytesMax, previewMax))
	case !(c.Rate >= 0 && c.Rate <= rateMax):
		return bad("rate", c.Rate, fmt.Sprintf("0 to %d a second", rateMax))
	case c.Load < time.Second || c.Load > time.Hour:
		return bad("duration", c.Load, "1s to 1h")
	case c.Kills < 0 || c.Kills > c.Shards/2:
		return bad("shards that are killed", c.Kills, fmt.Sprintf("0 to %d", c.Shards/2))
	case c.Failover && c.Coordinators == 1:
		return bad("failover", c.Failover, "false with one coordinator")
	}
	return nil
}

// Limits of a Config: a few times what a cluster of a thousand GPUs has, so that a typing error is
// told before it takes all of a machine.
const (
	shardsMax = 8192
	// As many as one identity may have.
	perHostMax = 64
	ranksMax   = 64
	stepsMax   = 1000
	bytesMax   = 1 << 20
	previewMax = 64 << 10
	rateMax    = 1000
)
