package price

import (
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Sheet is an operator's prices. It is read from a file by package pricefile, which checks it, and
// does not change.
type Sheet struct {
	Currency string
	// Hash names the sheet: the beginning of the SHA-256 of its file.
	Hash string

	// Devices have the price of a second on a device; the first that matches counts. A kind that none
	// matches costs nothing.
	Devices []DevicePrice
	// Models change it; the first that matches counts.
	Models []ModelPrice
	// Minimum is the least that a job costs, unless nothing of it was charged or its plan covers all.
	Minimum Decimal
	// Priorities change it once more; ranges do not overlap.
	Priorities []PriorityPrice
	// Plans are subscriptions; nobody is in two of them.
	Plans []Plan
}

// DevicePrice is what a second on a device costs.
type DevicePrice struct {
	Match     string // a pattern: see Matches
	PerSecond Decimal
}

// ModelPrice is how a model's clips are priced: by a factor, or flat, by the clip.
type ModelPrice struct {
	Match  string
	Factor Decimal
	Flat   *Decimal
}

// PriorityPrice adds a share to the price of jobs whose priority is in a range, both ends included.
type PriorityPrice struct {
	From, To int
	Percent  Decimal // above -100
}

// Plan is a subscription: so much device time in each calendar month (UTC) is paid for already.
type Plan struct {
	Name     string
	Included time.Duration
	// Keys are ids or names of keys, Teams are names of teams. The time of a key is its own, that of
	// a team is shared by all its keys.
	Keys, Teams []string
}

// Subject is who pays.
type Subject struct{ Owner, Name, Team string }

// Subscriber is whose included time a job uses.
type Subscriber struct {
	Plan Plan
	// Team: the time is the team's; else the key's.
	Team bool
}

// A key's own plan comes first: it was bought for the key. A key in a team whose plan is used up
// does not fall back on another plan, as nobody would expect to be in two.

// Subscriber returns the plan of a subject: its key's, else its team's.
func (s *Sheet) Subscriber(who Subject) (Subscriber, bool) {
	for _, p := range s.Plans {
		if named(p.Keys, who.Owner) || named(p.Keys, who.Name) {
			return Subscriber{Plan: p}, true
		}
	}
	for _, p := range s.Plans {
		if named(p.Teams, who.Team) {
			return Subscriber{Plan: p, Team: true}, true
		}
	}
	return Subscriber{}, false
}

// named reports whether a list has a name; an empty one is nobody's.
func named(list []string, name string) bool { return name != "" && slices.Contains(list, name) }

// Job is what a bill is for.
type Job struct {
	Model    string
	Priority int
	Devices  []Use // of what is charged, a line for each kind
	// Plan covers up to Left of the device time; nil: there is none.
	Plan *Plan
	Left time.Duration
}

// Use is device time of one kind.
type Use struct {
	Device string
	Time   time.Duration
}

// Bill returns what a job costs: the device time beyond what its plan includes, by the kinds'
// prices; times the model's factor, or the model's flat price instead; changed by the priority's
// share; and no less than the minimum, unless there is nothing to charge.
func (s *Sheet) Bill(j Job) Bill {
	b := Bill{Currency: s.Currency, Sheet: s.Hash}
	model := s.model(j.Model)
	share := new(big.Rat).SetInt64(1)
	if p, ok := s.priority(j.Priority); ok {
		b.Percent = p.Percent.String()
		share.Add(share, new(big.Rat).Quo(p.Percent.rat(), big.NewRat(100, 1)))
	}

	// Each kind's part, not rounded yet.
	// rest is the device time that is not covered.
	left, rest := j.Left, time.Duration(0)
	parts, sum := make([]*big.Rat, len(j.Devices)), new(big.Rat)
	for i, u := range j.Devices {
		line := Line{Device: u.Device, Time: u.Time}
		if j.Plan != nil && model.Flat == nil {
			line.Included = min(max(0, left), u.Time)
			left -= line.Included
			b.Plan = j.Plan.Name
		}
		b.Devices = append(b.Devices, line)
		rest += u.Time - line.Included

		parts[i] = s.deviceCost(u.Device, u.Time-line.Included, model)
		parts[i].Mul(parts[i], share)
		sum.Add(sum, parts[i])
	}
	// A job that was never computed, or that its plan covers, costs nothing: no minimum either.
	if rest == 0 {
		return b
	}

	if model.Flat != nil {
		b.Flat = true
		sum.Mul(model.Flat.rat(), share)
		parts = byTime(b.Devices)
	}
	if least := s.Minimum.rat(); sum.Cmp(least) < 0 {
		b.Minimum = true
		sum.Set(least)
		parts = byTime(b.Devices)
	}

	// The only place at which anything is rounded.
	b.Amount = round(sum)
	spread(b.Amount, b.Devices, parts)
	return b
}

// deviceCost is what time on a device costs by the model's factor.
func (s *Sheet) deviceCost(device string, t time.Duration, m ModelPrice) *big.Rat {
	cost := new(big.Rat)

	for _, d := range s.Devices {
		if Matches(d.Match, device) {
			cost.Mul(d.PerSecond.rat(), big.NewRat(int64(t), int64(time.Second)))
			break
		}
	}
	if m.Match != "" && m.Flat == nil {
		cost.Mul(cost, m.Factor.rat())
	}
	return cost
}

// byTime weighs lines by their device time beyond what is included.
func byTime(lines []Line) []*big.Rat {
	out := make([]*big.Rat, len(lines))
	for i, l := range lines {
		out[i] = new(big.Rat).SetInt64(int64(l.Time - l.Included))
	}
	return out
}

// spread shares an amount out among lines by weight, so that they come to it exactly: each line
// gets what the weights up to it are rounded to, less what those before it got.
func spread(amount Micro, lines []Line, weights []*big.Rat) {
	all := new(big.Rat)
	for _, w := range weights {
		all.Add(all, w)
	}
	if all.Sign() == 0 {
		lines[len(lines)-1].Amount = amount
		return
	}

	// so is the weight of the lines up to this one, given what they have got.
	so, given := new(big.Rat), Micro(0)
	for i, w := range weights {
		so.Add(so, w)
		upTo := new(big.Rat).Quo(so, all)
		upTo.Mul(upTo, big.NewRat(int64(amount), microUnit))
		next := round(upTo)
		lines[i].Amount, given = next-given, next
	}
}

// model returns the price of a model; a zero one changes nothing.
func (s *Sheet) model(name string) ModelPrice {
	for _, m := range s.Models {
		if Matches(m.Match, name) {
			return m
		}
	}
	return ModelPrice{}
}

// priority returns the share of a priority. Ranges do not overlap, so the first is the only one.
func (s *Sheet) priority(n int) (PriorityPrice, bool) {
	for _, p := range s.Priorities {
		if p.From <= n && n <= p.To {
			return p, true
		}
	}
	return PriorityPrice{}, false
}

// Prices reports whether the sheet has a price for a kind of device.
func (s *Sheet) Prices(device string) bool {
	return slices.ContainsFunc(s.Devices, func(d DevicePrice) bool {
		return Matches(d.Match, device)
	})
}

// Matches reports whether a text is of a pattern, in which each * stands for any run of bytes, also
// an empty one. Capital letters count as small ones.
func Matches(pattern, text string) bool {
	pattern, text = lower(pattern), lower(text)

	// star is where the latest star is, mark the text behind what it has taken so far. Going back to
	// the latest star alone is enough: an earlier one could take no less.
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p, t = p+1, t+1
		case star >= 0: // the star takes one byte more
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// lower turns ASCII's capital letters.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// String says of what is in the sheet, in one line.
func (s *Sheet) String() string {
	return fmt.Sprintf("prices in %s of %d kinds of devices and %d models, %d plans", s.Currency,
		len(s.Devices), len(s.Models), len(s.Plans))
}
