package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// Offer is what a shard brings to a clip.
type Offer struct {
	// Speed is in multiply-adds per second; 0: not known.
	Speed float64
	// Memory is how many bytes a clip may take there, with the weights; 0: not known.
	Memory int64
}

// Forecast is what a clip is predicted to take.
type Forecast struct {
	// Operations counts the multiply-adds of all shards together; 0: not known.
	Operations float64
	// Shards is how many the clip would run on.
	Shards int
	// Time is from the first denoising step to the last decoded frame; 0: not known.
	Time time.Duration
	// Memory is what the shard that holds the most needs.
	Memory Memory
}

// Predict returns what a clip takes on the best of some shards that have nothing else to do. The
// time in which shards wait for each other is left out, so a clip takes at least as long.
func Predict(m job.Model, s job.Spec, offers []Offer) Forecast {
	mesh, err := Mesh(m, s, len(offers), least(offers))
	if err != nil {
		mesh = job.Mesh{CFG: 1, Ulysses: 1}
	}
	f := Forecast{Shards: mesh.Size(), Memory: MemoryOf(m, s, mesh)}

	load := Load(m, s)
	each, decode := m.PassWorkOver(load.WindowTokens(), keys(m, s, load)), m.DecodeWork(s)
	if each == 0 {
		return f
	}
	steps, passes := float64(s.TotalSteps()), float64(load.Passes())
	f.Operations = steps*passes*each + decode

	speed := slowest(offers, f.Shards)
	if speed == 0 {
		return f
	}
	groups := float64(mesh.Windows() * mesh.CFG)
	busiest := max(passes/groups, 1) * each / float64(mesh.Ulysses)
	seconds := (steps*busiest + decode/float64(f.Shards)) / speed
	f.Time = time.Duration(min(seconds, 1e9) * float64(time.Second))
	return f
}

// StepWork returns the multiply-adds of a denoising step of a clip, of all ranks together; 0 where
// the model's cost is not known.
func StepWork(m job.Model, s job.Spec) float64 {
	load := Load(m, s)
	return float64(load.Passes()) * m.PassWorkOver(load.WindowTokens(), keys(m, s, load))
}

// least returns the least memory of some offers, 0 where one of them is not known.
func least(offers []Offer) int64 {
	if len(offers) == 0 {
		return 0
	}
	return slices.MinFunc(offers, func(a, b Offer) int {
		return cmp.Compare(a.Memory, b.Memory)
	}).Memory
}

// keys returns how many keys a token attends to: those of its window, or of what the blocks of a
// causal clip keep, once there are as many.
func keys(m job.Model, s job.Spec, l partition.Load) int {
	if s.Causal == nil {
		return l.WindowTokens()
	}
	return l.PerFrame * s.Window / m.Patch[0]
}

// slowest returns the speed of the slowest of the n fastest shards, 0 where it is not known.
func slowest(offers []Offer, n int) float64 {
	if len(offers) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(offers), func(a, b Offer) int {
		return cmp.Compare(b.Speed, a.Speed)
	})
	return sorted[min(n, len(sorted))-1].Speed
}

// Limits bound what a single clip may take.
type Limits struct {
	// Tokens is how many tokens the whole clip may have; 0: no limit.
	Tokens int
	// Time is how long it may be predicted to take, unless the client insists; 0 or less: no limit.
	Time time.Duration
}

// CheckLimits returns a *job.FieldError for a clip that is refused on some shards: because it is
// larger than the limits allow, or than the shards can hold. A clip far beyond the model's sizes,
// or one predicted to take longer than allowed, passes where the client insists (force).
func CheckLimits(m job.Model, s job.Spec, offers []Offer, l Limits, force bool) error {
	if n := m.Tokens(s.Frames, s.Height, s.Width); l.Tokens > 0 && n > l.Tokens {
		return &job.FieldError{Field: "num_frames x size", Value: fmt.Sprintf("%d tokens", n),
			Allowed: fmt.Sprintf("up to %d tokens (limits.request-tokens), so fewer frames or a smaller "+
				"size", l.Tokens)}
	}

	f := Predict(m, s, offers)
	if err := f.checkMemory(offers); err != nil {
		return err
	}
	if times := m.Oversize(s); times > job.FarBeyond && !force {
		return &job.FieldError{Field: "size", Value: fmt.Sprintf("%dx%d, %.0f times the pixels of the "+
			"largest size that this model is made for%s", s.Width, s.Height, times, f.predicted()),
			Allowed: fmt.Sprintf("up to %d times, or force", job.FarBeyond)}
	}
	if l.Time > 0 && f.Time > l.Time && !force {
		return &job.FieldError{Field: "request", Value: "too long" + f.predicted(),
			Allowed: fmt.Sprintf("up to %s (limits.request-time): fewer steps or frames, a smaller size, "+
				"more shards, or force", About(l.Time))}
	}
	return nil
}

// checkMemory refuses what the shards cannot hold, if all of them say how much memory they have.
func (f Forecast) checkMemory(offers []Offer) error {
	known := slices.DeleteFunc(slices.Clone(offers), func(o Offer) bool { return o.Memory == 0 })
	if len(known) == 0 || len(known) < len(offers) {
		return nil
	}
	slices.SortFunc(known, func(a, b Offer) int { return cmp.Compare(b.Memory, a.Memory) })
	if has := known[min(f.Shards, len(known))-1].Memory; f.Memory.Least() > has {
		return &job.FieldError{Field: "num_frames x size", Value: fmt.Sprintf("too large: about %s of "+
			"memory on each of %s (%s)", Bytes(f.Memory.Least()), Shards(f.Shards), f.Memory),
			Allowed: fmt.Sprintf("up to %s, which such a shard has: a smaller size, fewer frames, smaller "+
				"windows, or more shards", Bytes(has))}
	}
	return nil
}

// predicted says how long a clip would take, as the end of a sentence; "" if that is not known.
func (f Forecast) predicted() string {
	if f.Time == 0 {
		return ""
	}
	return fmt.Sprintf("; predicted to take %s on %s", About(f.Time), Shards(f.Shards))
}

// About writes a duration in three digits of one unit: 45 seconds, 3 minutes, 5.4 hours, 12 days.
func About(d time.Duration) string {
	unit, name := time.Second, "second"
	switch {
	case d >= 48*time.Hour:
		unit, name = 24*time.Hour, "day"
	case d >= 2*time.Hour:
		unit, name = time.Hour, "hour"
	case d >= 2*time.Minute:
		unit, name = time.Minute, "minute"
	}
	n := fmt.Sprintf("%.3g", float64(d)/float64(unit))
	if n == "1" {
		return n + " " + name
	}
	return n + " " + name + "s"
}

// Bytes writes a number of bytes for people.
func Bytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) } //nolint:gosec // from 0

// Shards writes a number of shards for people.
func Shards(n int) string {
	if n == 1 {
		return "1 shard"
	}
	return fmt.Sprintf("%d shards", n)
}
