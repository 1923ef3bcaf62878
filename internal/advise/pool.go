package advise

import (
	"fmt"
	"math/big"

	"github.com/longtake/longtake/internal/fleet"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/price"
)

// Pool is devices, and what they cost.
type Pool struct {
	perf.Pool
	Name, About string // for people: what was asked for, and what that is
	// Kinds are the names under which the sheet has the nodes' prices; nil: those of the devices.
	Kinds []string
	Sheet *price.Sheet // nil: costs are not known
	// Fleet is what the pool was made of; nil: there is nothing to add to it.
	Fleet *fleet.Pool
}

// OfFleet makes a pool of one that people named. find returns a device by its name or file. The
// sheet goes before the fleet's own prices.
func OfFleet(f fleet.Pool, find func(name string) (perf.Device, error),
	sheet *price.Sheet) (Pool, error) {
	p := Pool{Name: f.Name, Fleet: &f, Sheet: sheet}
	p.Inside, p.Network, p.Racks = perf.Link(f.Inside), perf.Link(f.Network), perf.Link(f.Racks)

	// Names are those of the devices' files: h100 is H100.
	devices := make([]perf.Device, len(f.Groups))
	named := f
	named.Groups = append([]fleet.Group(nil), f.Groups...)
	for i, g := range f.Groups {
		d, err := find(g.Device)
		if err != nil {
			return Pool{}, err
		}
		devices[i], named.Groups[i].Device = d, d.Name
	}
	p.About = named.String()

	// The fleet's own prices are by group, as hosts of the same devices may cost different amounts.
	for _, s := range f.Slots() {
		p.Nodes = append(p.Nodes, perf.Node{Device: devices[s.Group], Host: s.Host, Rack: s.Rack})
		if sheet == nil && f.Currency != "" {
			p.Kinds = append(p.Kinds, kind(s.Group))
		}
	}

	if p.Kinds != nil {
		p.Sheet = sheetOf(f)
	}
	return p, nil
}

// kind names a group in the sheet of a fleet's own prices.
func kind(group int) string { return fmt.Sprint("group ", group) }

// sheetOf makes a price sheet of what hosts cost in an hour: each device has its part.
func sheetOf(f fleet.Pool) *price.Sheet {
	const hour, digits = 3600, 12
	s := &price.Sheet{Currency: f.Currency}
	for i, g := range f.Groups {
		v, _ := new(big.Rat).SetString(g.Price.String())
		v.Quo(v, big.NewRat(int64(hour*g.Devices), 1))
		each, err := price.ParseDecimal(v.FloatString(digits))
		if err != nil {
			panic(err) // the fleet's prices are within bounds
		}
		s.Devices = append(s.Devices, price.DevicePrice{Match: kind(i), PerSecond: each})
	}
	return s
}

// kindOf returns the name under which the sheet has the price of a node: that of its device, or an
// alias that the sheet knows.
func (p Pool) kindOf(node int) string {
	if p.Kinds != nil {
		return p.Kinds[node]
	}
	d := p.Nodes[node].Device
	for _, name := range d.Aliases {
		if !p.Sheet.Prices(d.Name) && p.Sheet.Prices(name) {
			return name
		}
	}
	return d.Name
}

// hosts lists the devices of each host, in the order of the nodes.
func (p Pool) hosts() (sizes []int) {
	for i, n := range p.Nodes {
		if i == 0 || n.Host != p.Nodes[i-1].Host || n.Host == "" {
			sizes = append(sizes, 0)
		}
		sizes[len(sizes)-1]++
	}
	return sizes
}

// Hosts returns how many hosts there are.
func (p Pool) Hosts() int { return len(p.hosts()) }

// part returns the pool with some of its nodes, in that order: rank r of a mesh is on the r-th. The
// links are those of the whole pool.
func (p Pool) part(nodes []int) perf.Pool {
	out := p.Pool
	out.Nodes = make([]perf.Node, len(nodes))
	for i, n := range nodes {
		out.Nodes[i] = p.Nodes[n]
	}
	return out
}

// Devices lists the kinds of devices, each once.
func (p Pool) Devices() (out []perf.Device) {
	seen := map[string]bool{}
	for _, n := range p.Nodes {
		if !seen[n.Device.Name] {
			seen[n.Device.Name] = true
			out = append(out, n.Device)
		}
	}
	return out
}

// GPUs reports whether all devices are GPUs, for which clips are made in bfloat16.
func (p Pool) GPUs() bool {
	for _, n := range p.Nodes {
		if n.Device.Arch == cpuArch {
			return false
		}
	}
	return true
}

// cpuArch is the architecture of CPUs.
const cpuArch = "cpu"
