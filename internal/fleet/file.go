package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/userfile"
)

// FileMax bounds a pool's file, in bytes.
const FileMax = 64 << 10

// poolFile is the form of a file. Links are texts as in a line, so that there is one way to say
// what lies between devices.
type poolFile struct {
	Name     string      `yaml:"name"`
	Hosts    []hostsItem `yaml:"hosts"`
	Inside   string      `yaml:"inside"`
	Network  string      `yaml:"network"`
	Racks    string      `yaml:"racks"`
	Currency string      `yaml:"currency"`
}

// hostsItem is some hosts that are alike.
type hostsItem struct {
	Count   *int      `yaml:"count"`
	Devices string    `yaml:"devices"`
	Rack    string    `yaml:"rack"`
	Price   yaml.Node `yaml:"price-per-hour"`
}

// ReadFile reads a pool from YAML. It is strict: unknown keys, keys that stand twice and values
// that are not allowed are errors, with their line where it is known.
//
//	network: ib400
//	currency: EUR
//	hosts:
//	  - {count: 2, devices: 8xH100, rack: a, price-per-hour: 24.50}
//	  - {devices: 4xL40S, rack: b, price-per-hour: 4}
func ReadFile(text []byte) (Pool, error) {
	var f poolFile
	if err := userfile.YAML(text, FileMax, &f); err != nil {
		return Pool{}, err
	}

	p := Pool{Name: f.Name, Currency: f.Currency}
	if len(f.Name) > deviceMax {
		return Pool{}, fmt.Errorf("name is %.40q; allowed: up to %d bytes", f.Name, deviceMax)
	}

	for i, h := range f.Hosts {
		g, err := h.group(f.Currency)
		if err != nil {
			return Pool{}, fmt.Errorf("hosts, item %d: %w", i+1, err)
		}
		p.Groups = append(p.Groups, g)
	}
	return p, cmp.Or(f.links(&p), f.currency(), p.Check())
}

// links reads the links.
func (f poolFile) links(p *Pool) error {
	for _, l := range []struct {
		key, text string
		to        *Link
		inside    bool
	}{{"inside", f.Inside, &p.Inside, true}, {"network", f.Network, &p.Network, false},
		{"racks", f.Racks, &p.Racks, false}} {
		if l.text == "" {
			continue
		}

		// A rate has no kind, and may be either.
		link, inside, err := parseLink(l.text)
		if err != nil {
			return fmt.Errorf("%s: %w", l.key, err)
		}
		if rate := strings.Contains(l.text, "/"); inside != l.inside && !(l.inside && rate) {
			return fmt.Errorf("%s is %.40q; allowed: a rate, or a link of that kind: %s", l.key, l.text,
				linkAllowed)
		}
		*l.to = link
	}
	return nil
}

// currency checks it, where there is one. Without it no host has a price, and a plan says nothing
// of costs.
func (f poolFile) currency() error {
	if f.Currency == "" {
		return nil
	}
	return price.CheckCurrency(f.Currency)
}

// group reads an item. With a currency each has a price: one that is forgotten would be free.
func (h hostsItem) group(currency string) (Group, error) {
	g, ok := parseDevices(h.Devices)
	if !ok {
		return g, fmt.Errorf("devices is %.60q; allowed: such as 8xH100, or a device's name or file",
			h.Devices)
	}
	if h.Count != nil {
		g.Hosts = *h.Count
	}
	if err := topology.CheckLabel(h.Rack); err != nil {
		return g, fmt.Errorf("rack: %w", err)
	}
	g.Rack = h.Rack

	switch given := !h.Price.IsZero(); {
	case given != (currency != ""):
		return g, errors.New("price-per-hour goes with currency; allowed: one for each item, or for none")
	case !given:
		return g, nil
	}
	// Prices are decimals, exactly as they are written: what is billed adds up.
	const most = 1_000_000
	d, err := price.ParseDecimal(h.Price.Value)
	if h.Price.Kind != yaml.ScalarNode || err != nil || d.Sign() < 0 || d.Cmp(most) > 0 {
		return g, fmt.Errorf("price-per-hour is %.40q; allowed: 0 to %d as a decimal, such as 24.50",
			h.Price.Value, most)
	}
	g.Price = d
	return g, nil
}
