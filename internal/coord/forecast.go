package coord

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// Offer is what a shard brings to a clip.
type Offer struct {
	Speed  float64 // multiplications and additions a second; 0: not known
	Memory int64   // bytes that a clip may take there; 0: not known
}

// Forecast is what a clip is predicted to take.
type Forecast struct {
	Operations float64       // multiplications and additions, of all shards; 0: not known
	Shards     int           // that it would run on
	Time       time.Duration // 0: not known
	Memory     int64         // bytes, on the shard that holds the most
}

// Foresee predicts what a clip takes on the best of some shards, which have nothing else to do. How
// long shards wait for each other is left out.
func Foresee(m job.Model, s job.Spec, offers []Offer) Forecast {
	mesh, err := plan.Mesh(m, s, len(offers))
	if err != nil {
		mesh = job.Mesh{CFG: 1, Ulysses: 1}
	}
	load := plan.Load(m, s)
	each, decode := m.PassWork(load.WindowTokens()), m.DecodeWork(s)
	steps, passes := float64(s.TotalSteps()), float64(load.Passes())
	f := Forecast{Shards: mesh.Size(), Memory: memoryOf(m, s, mesh)}
	if each == 0 {
		return f
	}
	f.Operations = steps*passes*each + decode
	speed := slowestOf(offers, f.Shards)
	if speed == 0 {
		return f
	}
	groups := float64(max(1, mesh.Window) * mesh.CFG)
	busiest := max(passes/groups, 1) * each / float64(mesh.Ulysses)
	seconds := (steps*busiest + decode/float64(f.Shards)) / speed
	f.Time = time.Duration(min(seconds, 1e9) * float64(time.Second))
	return f
}

// slowestOf returns the speed of the slowest of the n fastest shards, 0 where it is not known.
func slowestOf(offers []Offer, n int) float64 {
	if len(offers) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(offers), func(a, b Offer) int {
		return cmp.Compare(b.Speed, a.Speed)
	})
	return sorted[min(n, len(sorted))-1].Speed
}

// memoryOf returns the bytes that the first rank of a mesh holds at a time: activations of a
// window and the latent of its windows, or a group of decoded frames. What the decoder needs
// besides depends on the memory that there is.
func memoryOf(m job.Model, s job.Spec, mesh job.Mesh) int64 {
	load, d, hd := plan.Load(m, s), float64(m.Heads*m.HeadDim), float64(m.HeadDim)
	u, width := float64(mesh.Ulysses), float64(load.TokenWidth)
	tokens := float64(load.WindowTokens())
	own := tokens / u
	pass := own*(2*width+7*d+float64(m.Cost.FFNDim)+hd) + 2*tokens*hd
	if mesh.Ulysses > 1 {
		pass += tokens*4*d/u + own*4*d
	}
	windows := float64(load.Passes()) / float64(max(1, mesh.Window))
	if s.Guided() {
		windows /= 2
	}
	clip := float64(m.Tokens(s.Frames, s.Height, s.Width))
	latent := min(clip, windows*tokens) / u * width * job.CopiesHeld
	pixels := float64(s.Width) * float64(s.Height) * 3 * float64(m.TemporalScale)
	const perPixel = 3 // decoded, on its way to the encoder, and in bytes
	return int64(4 * (max(pass+tokens*width+latent, perPixel*pixels)))
}

// Judge returns why a clip is refused on some shards: it is larger than the limits allow, or than
// the shards hold. What is far beyond the model's sizes, or is predicted to take longer than
// allowed, passes where the client insists.
func Judge(m job.Model, s job.Spec, offers []Offer, l Limits, force bool) error {
	if n := m.Tokens(s.Frames, s.Height, s.Width); l.RequestTokens > 0 && n > l.RequestTokens {
		return &job.FieldError{Field: "num_frames x size", Value: fmt.Sprintf("%d tokens", n),
			Allowed: fmt.Sprintf("up to %d tokens (limits.request-tokens), so fewer frames or a smaller "+
				"size", l.RequestTokens)}
	}
	f := Foresee(m, s, offers)
	if err := f.fits(offers); err != nil {
		return err
	}
	if times := m.Oversize(s); times > job.FarBeyond && !force {
		return &job.FieldError{Field: "size", Value: fmt.Sprintf("%dx%d, %.0f times the pixels of the "+
			"largest size that this model is made for%s", s.Width, s.Height, times, f.predicted()),
			Allowed: fmt.Sprintf("up to %d times, or force", job.FarBeyond)}
	}
	if l.RequestTime > 0 && f.Time > l.RequestTime && !force {
		return &job.FieldError{Field: "request", Value: "too long" + f.predicted(),
			Allowed: fmt.Sprintf("up to %s (limits.request-time): fewer steps or frames, a smaller size, "+
				"more shards, or force", About(l.RequestTime))}
	}
	return nil
}

// fits refuses what shards cannot hold.
func (f Forecast) fits(offers []Offer) error {
	known := slices.DeleteFunc(slices.Clone(offers), func(o Offer) bool { return o.Memory == 0 })
	if len(known) == 0 || len(known) < len(offers) {
		return nil
	}
	slices.SortFunc(known, func(a, b Offer) int { return cmp.Compare(b.Memory, a.Memory) })
	if has := known[min(f.Shards, len(known))-1].Memory; f.Memory > has {
		return &job.FieldError{Field: "num_frames x size", Value: fmt.Sprintf("too large: about %s of "+
			"memory on each of %s", size(f.Memory), shards(f.Shards)),
			Allowed: fmt.Sprintf("up to %s, which such a shard has: a smaller size, fewer frames, smaller "+
				"windows, or more shards", size(has))}
	}
	return nil
}

// predicted says how long a clip would take, as part of a sentence.
func (f Forecast) predicted() string {
	if f.Time == 0 {
		return ""
	}
	return fmt.Sprintf("; predicted to take %s on %s", About(f.Time), shards(f.Shards))
}

// About writes a duration as people say it: 45 seconds, 3 minutes, 5.4 hours, 12 days.
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

// offers returns what the nodes bring that may be given work.
func (l *leader) offers() []Offer {
	drains := l.c.fsm.drains()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Offer
	for _, n := range l.nodes {
		if _, drained := drains[n.reg.Node]; !drained {
			out = append(out, n.offer())
		}
	}
	return out
}

// offer prefers what the node has measured of clips to what it measured when it started.
func (n *node) offer() Offer {
	return Offer{Speed: cmp.Or(n.beat.Speed, n.reg.Speed), Memory: n.reg.Memory}
}

func shards(n int) string {
	if n == 1 {
		return "1 shard"
	}
	return fmt.Sprintf("%d shards", n)
}
