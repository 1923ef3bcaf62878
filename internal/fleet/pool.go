package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/topology"
)

// Limits of a pool.
const (
	DevicesMax = 4096
	hostsMax   = 1024 // devices of a host
	groupsMax  = 64   // kinds of hosts
	textMax    = 1024 // bytes of a line
	deviceMax  = 256  // bytes of a device's name or path
)

// Pool is a set of hosts with devices, and the links between them. It says nothing of what devices
// can do: their names are looked up by whoever predicts with it.
type Pool struct {
	Name string // what it was read from, for people
	// Groups are the hosts in the order in which they were named, which is that of the slots.
	Groups []Group
	// Inside is the link between devices of a host; a zero rate is that of the devices themselves.
	// Network is what a host has to others, Racks what it has to those of other racks.
	Inside, Network, Racks Link
	// Currency is that of the groups' prices; "": they have none.
	Currency string
}

// Group is some hosts that are alike.
type Group struct {
	Hosts   int
	Devices int    // of each host
	Device  string // a name, or the path of a file: see IsFile
	Rack    string // a label
	// Price is what a host costs in an hour.
	Price price.Decimal
}

// cpu is the device that is a host of its own.
const cpu = "cpu"

// counts are how people write counts: 8xH100, 8XH100, 8*H100, 8 x H100.
var counts = regexp.MustCompile(`(^|[+(])\s*(\d+)\s*[xX*×]\s*`)

// IsFile reports whether a device is the path of a file that describes one.
func IsFile(device string) bool { return strings.ContainsAny(device, `./\`) }

// Parse reads a line such as 8xH100 or 4x(8xH200)+ib. Bad input is an error with what is allowed.
func Parse(text string) (Pool, error) {
	wrong := func(allowed string, args ...any) error {
		return fmt.Errorf("pool is %.80q; allowed: "+allowed, append([]any{text}, args...)...)
	}
	if text == "" || len(text) > textMax {
		return Pool{}, wrong("such as 8xH100, 4x(8xH200)+ib or 100xcpu, up to %d bytes", textMax)
	}

	// Parts are hosts until the first link, and links from there on.
	p := Pool{Name: text}
	linked := false
	for i, part := range strings.Split(counts.ReplaceAllString(text, "${1}${2}x"), "+") {
		part = strings.TrimSpace(part)
		l, inside, err := parseLink(part)
		if err != nil { // so it has to be hosts
			g, ok := parseHosts(part)
			switch {
			case i > 0 && (!ok || linked || !counted(part)):
				return Pool{}, fmt.Errorf("pool is %.80q: %w; or before links hosts, such as 1x(4xL40S)",
					text, err)
			case !ok:
				return Pool{}, wrong("hosts such as 8xH100, 4x(8xH200) or 100xcpu, then +links")
			}

			p.Groups = append(p.Groups, g)
			continue
		}

		// Links follow hosts, one of each kind.
		to := &p.Network
		if inside {
			to = &p.Inside
		}
		if i == 0 || to.Bytes > 0 {
			return Pool{}, wrong("hosts, then up to one link between hosts and one inside of them")
		}
		*to, linked = l, true
	}

	if err := p.Check(); err != nil {
		return Pool{}, fmt.Errorf("pool is %.80q; %w", text, err)
	}
	return p, nil
}

// counted reports whether a text begins with a count, such as 8x, of any length.
func counted(text string) bool {
	count, _, ok := strings.Cut(text, "x")
	return ok && plain(count)
}

// parseHosts reads 8xH100, 4x(8xH200), 100xcpu or a device alone.
func parseHosts(text string) (Group, bool) {
	n, rest, counted := cutCount(text)
	inner, grouped := strings.CutPrefix(rest, "(")
	if grouped {
		inner, grouped = strings.CutSuffix(inner, ")")
	}

	// A line of CPUs is of machines: they have no link inside to share a host by.
	if !counted || !grouped {
		g, ok := parseDevices(text)
		if ok && strings.EqualFold(g.Device, cpu) {
			g.Hosts, g.Devices = g.Devices, 1
		}
		return g, ok
	}
	g, ok := parseDevices(inner)
	g.Hosts = n
	return g, ok
}

// parseDevices reads what is in a host: 8xH100, or a device alone.
func parseDevices(text string) (Group, bool) {
	n, device, counted := cutCount(text)
	if !counted {
		n, device = 1, text
	}
	return Group{Hosts: 1, Devices: n, Device: device}, checkDevice(device)
}

// checkDevice reports whether a text may be the name or the path of a device.
func checkDevice(device string) bool {
	return device != "" && len(device) <= deviceMax && !counted(device) &&
		!strings.ContainsAny(device, "()+,@\t\r\n") && device == strings.TrimSpace(device)
}

// Check bounds what a pool has.
func (p Pool) Check() error {
	if len(p.Groups) == 0 || len(p.Groups) > groupsMax {
		return fmt.Errorf("it has %d kinds of hosts; allowed: 1 to %d", len(p.Groups), groupsMax)
	}

	// Each factor is bounded, so that the product cannot overflow.
	devices := 0
	for _, g := range p.Groups {
		if g.Hosts < 1 || g.Hosts > DevicesMax || g.Devices < 1 || g.Devices > hostsMax {
			return fmt.Errorf("it has %d hosts of %d devices; allowed: 1 to %d hosts of 1 to %d devices, "+
				"%d in all", g.Hosts, g.Devices, DevicesMax, hostsMax, DevicesMax)
		}
		devices += g.Hosts * g.Devices
	}
	if devices > DevicesMax {
		return fmt.Errorf("it has %d devices; allowed: up to %d", devices, DevicesMax)
	}
	if p.Racks.Bytes > 0 && p.RackCount() < 2 {
		return errors.New("it has a link between racks, and one rack; allowed: hosts with a rack each")
	}
	return nil
}

// Size returns how many devices there are.
func (p Pool) Size() (n int) {
	for _, g := range p.Groups {
		n += g.Hosts * g.Devices
	}
	return n
}

// HostCount returns how many hosts there are.
func (p Pool) HostCount() (n int) {
	for _, g := range p.Groups {
		n += g.Hosts
	}
	return n
}

// RackCount returns how many racks there are; hosts without a label share one.
func (p Pool) RackCount() int { return len(p.distinct(func(g Group) string { return g.Rack })) }

// Kinds lists the devices, each once, in their order.
func (p Pool) Kinds() []string { return p.distinct(func(g Group) string { return g.Device }) }

// distinct lists what of gives for the groups, each once.
func (p Pool) distinct(of func(Group) string) (out []string) {
	for _, g := range p.Groups {
		if v := of(g); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// Slot is one device of a pool.
type Slot struct {
	Group      int // its number
	Host, Rack string
}

// Slots lists the devices by host. Hosts are h0, h1 and so on.
func (p Pool) Slots() (out []Slot) {
	host := 0
	for i, g := range p.Groups {
		for range g.Hosts {
			for range g.Devices {
				out = append(out, Slot{Group: i, Host: fmt.Sprint("h", host), Rack: g.Rack})
			}
			host++
		}
	}
	return out
}

// Faster returns the pool with a network, and links between racks, of so many times the rate.
func (p Pool) Faster(times float64) Pool {
	p.Network.Bytes = times * cmp.Or(p.Network.Bytes, topology.Defaults.Net)
	p.Racks.Bytes *= times
	return p
}

// Larger returns the pool with one more host like its first ones.
func (p Pool) Larger() Pool {
	p.Groups = slices.Clone(p.Groups)
	p.Groups[0].Hosts++
	return p
}

// String describes the pool: "4 hosts of 8 H200".
func (p Pool) String() string {
	var parts []string
	for _, g := range p.Groups {
		devices := fmt.Sprintf("%d %s", g.Devices, g.Device)
		if g.Hosts > 1 {
			devices = fmt.Sprintf("%d hosts of %s", g.Hosts, devices)
		}
		parts = append(parts, devices)
	}
	return strings.Join(parts, " and ")
}
