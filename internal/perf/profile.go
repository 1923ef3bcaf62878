package perf

import (
	"cmp"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Profile is a program as far as its speed is concerned: what its kernels reach on each generation
// of devices, and what it does one after the other.
//
// Programs differ in how they are built more than in how they are tuned: whether ranks wait while
// activations travel, whether weights are gathered for each pass, and whether one GPU decodes or
// all. These are fields; what is tuned are efficiencies.
type Profile struct {
	Name  string `yaml:"name"`
	About string `yaml:"about"`

	// Lacks are the architectures of devices that it does not run on.
	Lacks []string `yaml:"not-on"`
	// On are the architectures that it multiplies on in a type, by the type; a type that is not there
	// is for all.
	On map[string][]string `yaml:"types-on"`
	// DType is that of linear layers, where a clip does not say one.
	DType string `yaml:"dtype"`
	// Waits: nothing is computed while activations travel.
	Waits bool `yaml:"waits"`
	// Ring: ranks share a sequence by ring attention in place of Ulysses.
	Ring bool `yaml:"ring"`
	// Gathers: each rank holds a part of the weights, and gathers those of a layer for each pass
	// while the layer before is computed (fully sharded data parallel).
	Gathers bool `yaml:"gathers"`
	// Traffic is how many bytes norms, rotations, modulations and sums move in a layer for each value
	// of a token's row.
	Traffic float64 `yaml:"traffic-bytes"`
	// Times is the type in which a pass embeds the time of each token, which every rank does for all
	// tokens; "": the time is embedded once for all, which takes nothing.
	Times string `yaml:"token-times-type"`
	// Launch is how long the host takes to issue a layer's kernels, in seconds; a pass takes as long
	// at least.
	Launch float64 `yaml:"launch-seconds"`
	// Links are the parts of links' data-sheet rates that messages between devices of a host reach,
	// by the name of the bus.
	Links map[string]float64 `yaml:"links"`
	// Delay is what a message takes within a host, however small, in seconds.
	Delay float64 `yaml:"delay-seconds"`

	// Decoder is the type in which the decoder multiplies, and Products how many products of that
	// type make one of its own.
	Decoder  string  `yaml:"decoder-type"`
	Products float64 `yaml:"decoder-products"`
	// Decoded is how many bytes decoding moves for each pixel of a frame.
	Decoded float64 `yaml:"decoded-bytes"`
	// Shares: ranks decode a part of the rows of each frame; otherwise one decodes all.
	Shares bool `yaml:"shares-decoding"`

	// Text is how long texts take, and Fixed whatever else comes once for each clip, in seconds.
	Text  float64 `yaml:"text-seconds"`
	Fixed float64 `yaml:"fixed-seconds"`
	// Encode is what a pixel takes to encode on the host, in seconds.
	Encode float64 `yaml:"encode-seconds"`

	// Error is the relative standard error of predictions, as calibration shows it.
	Error float64 `yaml:"error"`
	// Reached has the efficiencies by a device's name or architecture, or by an architecture and a
	// type, such as "hopper fp8"; that of "other" stands for all that are not listed.
	Reached map[string]Efficiency `yaml:"efficiency"`
}

//go:embed profiles/*.yaml
var profileFiles embed.FS

// profiles reads those that come with the program.
var profiles = sync.OnceValue(func() (all []Profile) {
	for _, text := range embedded(profileFiles, "profiles") {
		p, err := ReadProfile(strings.NewReader(text))
		if err != nil {
			panic(err) // a test reads each
		}
		all = append(all, p)
	}
	return all
})

// Profiles lists the names that FindProfile knows.
func Profiles() (names []string) {
	for _, p := range profiles() {
		names = append(names, p.Name)
	}
	return names
}

// FindProfile returns a profile by its name; "" is longtake's own. The error lists those that
// exist.
func FindProfile(name string) (Profile, error) {
	if name == "" {
		name = Longtake
	}
	all := profiles()
	i := slices.IndexFunc(all, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, fmt.Errorf("profile is %.64q; allowed: %s", name,
			strings.Join(Profiles(), ", "))
	}
	return all[i], nil
}

// Longtake is the name of this program's profile.
const Longtake = "longtake"

// other stands for architectures that a profile does not list.
const other = "other"

// ReadProfile reads a profile's file, as strictly as Read.
func ReadProfile(r io.Reader) (p Profile, err error) {
	if err := decode(r, &p); err != nil {
		return Profile{}, fmt.Errorf("cannot read the profile: %w", err)
	}
	if err := p.check(); err != nil {
		return Profile{}, fmt.Errorf("profile %.64q: %w", p.Name, err)
	}
	return p, nil
}

// check bounds what a profile says.
func (p Profile) check() error {
	const nameMax, most = 64, 1e6
	if p.Name == "" || len(p.Name) > nameMax || len(p.About) > 1024 {
		return fmt.Errorf("allowed: a name of 1 to %d bytes", nameMax)
	}
	for _, t := range []string{p.DType, p.Decoder, cmp.Or(p.Times, p.DType)} {
		if !slices.Contains(Types, t) {
			return fmt.Errorf("dtype, decoder-type or token-times-type is %.40q; allowed: %s", t,
				strings.Join(Types, ", "))
		}
	}

	for _, v := range []float64{p.Traffic, p.Launch, p.Delay, p.Decoded, p.Text, p.Fixed, p.Encode,
		p.Error} {
		if !(v >= 0 && v <= most) {
			return fmt.Errorf("a figure of %v; allowed: 0 to %g", v, most)
		}
	}
	if !(p.Products >= 1 && p.Products <= most) {
		return fmt.Errorf("decoder-products is %v; allowed: 1 to %g", p.Products, most)
	}

	for t := range p.On {
		if !slices.Contains(Types, t) {
			return fmt.Errorf("types-on has %.40q; allowed: %s", t, strings.Join(Types, ", "))
		}
	}
	for bus, v := range p.Links {
		if !slices.Contains(buses, bus) || !(v > 0 && v <= 1) {
			return fmt.Errorf("links of %.40q are %v; allowed: %s, above 0 to 1", bus, v,
				strings.Join(buses, ", "))
		}
	}
	if len(p.Links) != len(buses) || p.Reached[other] == (Efficiency{}) {
		return fmt.Errorf("it has links %v; allowed: one of each of %s, and an efficiency of %q", p.Links,
			strings.Join(buses, ", "), other)
	}
	for _, e := range p.Reached {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

// Efficiency returns what the program reaches on a device in a type.
func (p Profile) Efficiency(d Device, dtype string) Efficiency {
	if e, measured := d.Efficiency[dtype]; measured && p.Name == Longtake {
		return e
	}
	for _, name := range []string{d.Name, d.Arch + " " + dtype, d.Arch} {
		if e, known := p.Reached[name]; known {
			return e
		}
	}
	return p.Reached[other]
}
