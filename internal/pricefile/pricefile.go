// Package pricefile reads the price sheets of operators: YAML, as configs/pricing.yaml explains it.
//
//	currency: EUR
//	devices:
//	  - {match: "*H200*", per-second: 0.0014}
//	minimum: 0.01
//
// Reading is strict: an unknown key, a key that stands twice, a number that is not exact or a
// subscriber in two plans is an error with its line, as a mistake would cost somebody money.
// Numbers are read from their text, so that none becomes a float on the way.
package pricefile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/userfile"
)

// Limits of a sheet. The first bounds what the YAML library has to parse as well.
const (
	FileMax    = 1 << 20 // bytes
	itemsMax   = 256     // of each list
	namesMax   = 10_000  // of the keys, and of the teams, of a plan
	textMax    = 128     // bytes of a pattern or a name
	hashDigits = 12
)

// Read reads a sheet from a file. Errors name the file and the line.
func Read(path string) (*price.Sheet, error) {
	text, err := userfile.Read(path, FileMax)
	if err != nil {
		return nil, config.Errorf("cannot read the price sheet: %w", err)
	}
	s, err := Parse(text)
	if err != nil {
		return nil, config.Errorf("price sheet %s: %w", path, err)
	}
	return s, nil
}

// Parse reads a sheet.
func Parse(text []byte) (*price.Sheet, error) {
	if len(text) > FileMax {
		return nil, fmt.Errorf("over %d bytes; allowed: up to %d", FileMax, FileMax)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("cannot read it: %.200s", strings.Join(strings.Fields(err.Error()), " "))
	}
	if len(doc.Content) == 0 {
		return nil, errors.New("it is empty; allowed: currency and devices at least")
	}

	sum := sha256.Sum256(text)
	s := &price.Sheet{Hash: hex.EncodeToString(sum[:])[:hashDigits]}

	// Lists are checked item by item, where their lines are known; what a sheet has to have, below.
	err := fields(doc.Content[0], map[string]reader{
		"currency":   textOf(&s.Currency),
		"minimum":    amount(&s.Minimum),
		"devices":    list(itemsMax, func(n *yaml.Node) error { return device(n, s) }),
		"models":     list(itemsMax, func(n *yaml.Node) error { return model(n, s) }),
		"priorities": list(itemsMax, func(n *yaml.Node) error { return priority(n, s) }),
		"plans":      list(itemsMax, func(n *yaml.Node) error { return plan(n, s) }),
	})
	if err != nil {
		return nil, err
	}

	if err := price.CheckCurrency(s.Currency); err != nil {
		return nil, err
	}
	if len(s.Devices) == 0 {
		return nil, errors.New(`devices are missing; allowed: one at least, such as {match: "*", ` +
			`per-second: 0.001}`)
	}
	return s, nil
}

// reader takes the value of a key.
type reader func(n *yaml.Node) error

// fields reads a map whose keys are known, each once.
func fields(n *yaml.Node, known map[string]reader) error {
	names := slices.Sorted(maps.Keys(known))
	if n.Kind != yaml.MappingNode {
		return at(n, "no map; allowed: one with the keys %s", strings.Join(names, ", "))
	}

	// The YAML library takes a key that stands twice in a node, and keeps both.
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read := known[key.Value]
		switch {
		case read == nil:
			return at(key, "unknown key %.64q;%s allowed: %s", key.Value, config.Hint(names, key.Value),
				strings.Join(names, ", "))
		case seen[key.Value]:
			return at(key, "%s is given twice; allowed: once", key.Value)
		}
		seen[key.Value] = true

		if err := read(value); err != nil {
			return named(key, err)
		}
	}
	return nil
}

// lineError has its line already.
type lineError struct{ error }

// at says where something is wrong.
func at(n *yaml.Node, format string, args ...any) error {
	return lineError{fmt.Errorf("line %d: "+format, append([]any{n.Line}, args...)...)}
}

// named puts the key before an error that has no line yet.
func named(key *yaml.Node, err error) error {
	var l lineError
	if errors.As(err, &l) {
		return err
	}
	return at(key, "%s is %w", key.Value, err)
}

// list reads up to most items.
func list(most int, item reader) reader {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.SequenceNode {
			return errors.New("no list; allowed: items that begin with -")
		}
		if len(n.Content) > most {
			return fmt.Errorf("%d items; allowed: up to %d", len(n.Content), most)
		}
		for _, c := range n.Content {
			if err := item(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// scalar returns the text of a value.
func scalar(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Value == "" || len(n.Value) > textMax {
		return "", fmt.Errorf("%.40q; allowed: a text of 1 to %d bytes", n.Value, textMax)
	}
	return n.Value, nil
}

// textOf reads a text.
func textOf(to *string) reader {
	return func(n *yaml.Node) (err error) {
		*to, err = scalar(n)
		return err
	}
}

// amount reads a decimal from 0. YAML's own numbers are not used: floats would not be exact, and it
// takes 1e3, 0x10 and .inf for numbers, too.
func amount(to *price.Decimal) reader {
	return func(n *yaml.Node) error {
		d, err := price.ParseDecimal(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || d.Sign() < 0 || d.Cmp(priceMost) > 0 {
			return fmt.Errorf("%.40q; allowed: 0 to %d as a decimal, such as 0.0015", n.Value, priceMost)
		}
		*to = d
		return nil
	}
}

// priceMost bounds prices and factors.
const priceMost = 1_000_000

// whole reads an integer of a range. A fraction is refused and not cut off: it was meant to count.
func whole(to *int, low, high int) reader {
	return func(n *yaml.Node) error {
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || v < low || v > high {
			return fmt.Errorf("%.40q; allowed: %d to %d", n.Value, low, high)
		}
		*to = v
		return nil
	}
}

// device reads an item of devices. A price has to be there: one that is forgotten would make the
// device free.
func device(n *yaml.Node, s *price.Sheet) error {
	var d price.DevicePrice
	priced := false
	err := fields(n, map[string]reader{"match": textOf(&d.Match),
		"per-second": func(n *yaml.Node) error {
			priced = true
			return amount(&d.PerSecond)(n)
		}})
	if err == nil && (d.Match == "" || !priced) {
		err = at(n, "a device without match or per-second; allowed: both")
	}
	s.Devices = append(s.Devices, d)
	return err
}

// model reads an item of models, which has a factor or a flat price.
func model(n *yaml.Node, s *price.Sheet) error {
	m := price.ModelPrice{}
	var flat price.Decimal
	factored := false

	err := fields(n, map[string]reader{"match": textOf(&m.Match),
		"factor": func(n *yaml.Node) error {
			factored = true
			return amount(&m.Factor)(n)
		},
		"flat": func(n *yaml.Node) error {
			m.Flat = &flat
			return amount(&flat)(n)
		}})

	// Both would leave it open which one counts.
	if err == nil && (m.Match == "" || factored == (m.Flat != nil)) {
		err = at(n, "a model without match, or without one of factor and flat; allowed: match, and "+
			"one of the two")
	}
	s.Models = append(s.Models, m)
	return err
}

// priority reads an item of priorities. An end of its range that is missing is that of all.
func priority(n *yaml.Node, s *price.Sheet) error {
	p := price.PriorityPrice{From: -priorityMost, To: priorityMost}
	err := fields(n, map[string]reader{"from": whole(&p.From, -priorityMost, priorityMost),
		"to": whole(&p.To, -priorityMost, priorityMost),
		"percent": func(n *yaml.Node) error {
			d, err := price.ParseDecimal(n.Value)
			if n.Kind != yaml.ScalarNode || err != nil || d.Cmp(-100) < 0 || d.Cmp(percentMost) > 0 {
				return fmt.Errorf("%.40q; allowed: -100 to %d, such as 25 or -12.5", n.Value, percentMost)
			}
			p.Percent = d
			return nil
		}})
	if err != nil {
		return err
	}

	// Ranges apart leave no doubt as to which one counts.
	if p.From > p.To {
		return at(n, "priorities from %d to %d; allowed: ascending", p.From, p.To)
	}
	for _, o := range s.Priorities {
		if p.From <= o.To && o.From <= p.To {
			return at(n, "priorities %d to %d are in %d to %d already; allowed: ranges apart", p.From,
				p.To, o.From, o.To)
		}
	}
	s.Priorities = append(s.Priorities, p)
	return nil
}

const (
	priorityMost = 100 // as jobs have it
	percentMost  = 10_000
	includedMost = 1_000_000_000 // seconds in a month
)

// plan reads an item of plans. Nobody may be in two, since both would be used first.
func plan(n *yaml.Node, s *price.Sheet) error {
	var p price.Plan
	seconds := 0

	err := fields(n, map[string]reader{"name": textOf(&p.Name),
		"included-seconds": whole(&seconds, 0, includedMost),
		"keys":             texts(&p.Keys), "teams": texts(&p.Teams)})
	if err == nil && p.Name == "" {
		err = at(n, "a plan without a name; allowed: name, included-seconds, keys and teams")
	}
	if err != nil {
		return err
	}

	p.Included = time.Duration(seconds) * time.Second

	for _, o := range s.Plans {
		if o.Name == p.Name {
			return at(n, "plan %.64q is there twice; allowed: once", p.Name)
		}
		for _, pair := range [][2][]string{{o.Keys, p.Keys}, {o.Teams, p.Teams}} {
			for _, who := range pair[1] {
				if slices.Contains(pair[0], who) {
					return at(n, "%.64q is in plans %.64q and %.64q; allowed: one", who, o.Name, p.Name)
				}
			}
		}
	}
	s.Plans = append(s.Plans, p)
	return nil
}

// texts reads a list of names. That they are those of keys and teams cannot be known here.
func texts(to *[]string) reader {
	return list(namesMax, func(n *yaml.Node) error {
		v, err := scalar(n)
		*to = append(*to, v)
		return err
	})
}
