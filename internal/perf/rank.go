package perf

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/topology"
)

// Tiles of products and of attention are of so many tokens; of products, of so many columns, too.
const (
	tileTokens  = 128
	tileColumns = 256
)

// site returns a node as topology sees it, for the u-th rank of a group, and what a pass takes
// there.
func (c *clip) site(n Node, u int) (topology.Site, rank, error) {
	on := c.on(n)
	d, crowd := c.shared(n, on.working)
	if slices.Contains(c.how.Lacks, d.Arch) {
		return topology.Site{}, rank{}, fmt.Errorf("device is %s, which %s does not run on; allowed: "+
			"another device, or the profile of another program", d.Name, c.how.Name)
	}
	t := c.dtype(d)
	peak := d.Peak[t]
	if has := c.types(d); !slices.Contains(has, t) {
		return topology.Site{}, rank{}, fmt.Errorf("dtype is %q; allowed on %s: %s", t, d.Name,
			strings.Join(has, ", "))
	}

	// The rank's part of a pass.
	tokens, heads := float64(c.pass.Tokens[u]), float64(c.pass.Heads[u])
	window, width := float64(c.w.WindowTokens()), float64(c.m.Heads*c.m.HeadDim)
	linear := c.w.Linear * tokens / window
	attention := c.w.Attention * heads / float64(c.m.Heads)
	if c.how.Ring {
		heads, attention = float64(c.m.Heads), c.w.Attention*tokens/window
	}

	// Small parts of a clip leave units idle, which is what makes many ranks less efficient.
	e := c.how.Efficiency(d, t)
	attention *= 1 + e.Softmax/(4*float64(c.m.HeadDim)) // of scores, beside their products
	r := rank{
		linear: linear / (peak * e.Linear) * waves(d.Units, tokens/tileTokens*width/tileColumns),
		attention: attention / (c.attentionPeak(d) * e.Attention) *
			waves(d.Units, c.queries(tokens, window)/tileTokens*heads),
		memory: c.how.Traffic * tokens * width * float64(c.m.Layers) / (d.Bandwidth * e.Memory),
	}
	r.decoder = c.decoding(c.shared(n, on.all))
	r.idle = max(0, float64(c.m.Layers)*c.how.Launch-r.computing())
	r.waiting = max(c.gathering(d, r), r.idle) + c.tokenTimes(d, e)
	if d.measured() && c.how.Name == Longtake {
		// Weights pass by once for all tokens, so that few tokens do not pay for them.
		weights, idle := c.w.Linear/(2*window), e.idle(crowd)
		r.linear, r.attention, r.memory = r.linear*idle, r.attention*idle, r.memory*idle
		r.waiting = crowd*(float64(c.m.Layers)*e.Layer*idle+c.messages(d, u)) +
			e.Weight*weights/(d.Bandwidth*e.Memory)
		r.step, r.idle = d.Overhead.Step, 0
	}
	r.text = c.textWork() / (peak * e.Linear)

	// What is proportional to tokens is one speed, attention the other one.
	s := topology.Site{Name: d.Name, Process: n.Host, Host: n.Host, Rack: n.Rack, Memory: d.Memory,
		Speed: linear / (r.linear + r.memory), Attention: attention / r.attention, Pass: r.waiting,
		Idle: r.idle,
		Rates: topology.Rates{Process: c.inside(d), Host: c.inside(d), Net: c.pool.Network.Bytes,
			Far: c.pool.Racks.Bytes},
		Delays: c.pool.Delays(c.how.Delay)}
	return s, r, nil
}

// types lists those that a device has products of, and the program kernels for. They are sorted, as
// they are what is allowed where a clip asks for another one.
func (c *clip) types(d Device) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(d.Peak)), func(t string) bool {
		on, some := c.how.On[t]
		return d.Peak[t] == 0 || some && !slices.Contains(on, d.Arch)
	})
}

// queries is how many tokens attend on a rank.
func (c *clip) queries(own, all float64) float64 {
	if c.how.Ring {
		return own
	}
	return all
}

// attentionPeak is that of bf16, or of fp32 for a clip in that: products of fewer bits are not
// taken for attention.
func (c *clip) attentionPeak(d Device) float64 {
	t := c.dtype(d)
	if t == "fp8" || t == "fp4" {
		t = "bf16"
	}
	return d.Peak[t]
}

// messages returns what the u-th rank's CPU does in a pass to send and to receive: in each layer
// queries, keys, values and two halves of the output, to and from each other rank of its group.
func (c *clip) messages(d Device, u int) (seconds float64) {
	const kinds = 5
	for v := range c.mesh.Ulysses {
		if v != u {
			seconds += d.Overhead.Message*2*kinds*float64(c.m.Layers) +
				d.Overhead.Byte*float64(c.pass.Bytes(u, v)+c.pass.Bytes(v, u))
		}
	}
	return seconds
}

// decoding returns what all frames take on a device.
func (c *clip) decoding(d Device, crowd float64) float64 {
	t := c.dtype(d)
	if d.Arch == cpuArch && d.measured() {
		t = "fp32"
	}
	e := c.how.Efficiency(d, t)
	product, times := c.decoder(d)
	work := c.m.DecodeWork(c.s) * times / (d.Peak[product] * e.Convolution)
	if e.First == 0 {
		return work + c.how.Decoded*float64(c.s.Width*c.s.Height*c.s.Frames)/(d.Bandwidth*e.Memory)
	}

	// The first latent frame becomes a single frame, and takes about a third of another one.
	latents := float64(c.m.Latents(c.s.Frames))
	places := float64(c.s.Height / c.m.SpatialScale * (c.s.Width / c.m.SpatialScale))
	held := (c.m.Cost.Memory.DecodePlace + c.m.Cost.Memory.DecodeBand) * places
	return work*(latents-1+e.First)/latents + latents*(e.Decoded*held/(d.Bandwidth*e.Memory)+
		crowd*e.Frame)
}

// decoder returns the type of the decoder's products on a device, and how many make one: those of a
// CPU are of fp32, and so is what a device has no peak in.
func (c *clip) decoder(d Device) (dtype string, products float64) {
	if d.Peak[c.how.Decoder] == 0 || d.Arch == cpuArch {
		return "fp32", 1
	}
	return c.how.Decoder, c.how.Products
}

// cpuArch is the architecture of CPUs, which have no tensor cores.
const cpuArch = "cpu"

// textWork is what UMT5-XXL takes for two prompts of 512 tokens, in floating-point operations. It
// hardly shows beside a clip of a large model, and is there so that short ones are not too short.
// Models as narrow as the demo have an encoder that is as small, and not counted.
func (c *clip) textWork() float64 {
	const parameters, tokens, width = 4.7e9, 2 * 512, 1024
	if c.m.Heads*c.m.HeadDim < width {
		return 0
	}
	return 2 * parameters * tokens
}

// inside is the rate between devices of a host: what the pool says arrives, or else the part of the
// devices' own link that the program's messages reach.
func (c *clip) inside(d Device) float64 {
	return cmp.Or(c.pool.Inside.Bytes, d.Link*c.how.Links[d.Bus])
}

// weightBytes is what a weight takes that is gathered, in bfloat16.
const weightBytes = 2

// gathering returns how long a pass waits for weights that are not there yet.
func (c *clip) gathering(d Device, r rank) float64 {
	if !c.how.Gathers || len(c.pool.Nodes) == 1 {
		return 0
	}
	layers, n := float64(c.m.Layers), float64(len(c.pool.Nodes))
	weights := c.w.Linear / (2 * float64(c.w.WindowTokens()))
	gather := weights * weightBytes * (n - 1) / n / c.inside(d)
	return gather/layers + max(0, gather-r.computing()) // the first layer's has nothing to hide it
}

// Most programs embed the time of a pass once, as it is the same for all tokens. Models whose first
// frame is given have another time for its tokens, so that Wan 2.2's script has one for each, for
// all of its models. It computes them before it cuts the sequence, and in float32.

// tokenTimes returns what a pass takes to embed the time of each token, for programs that do so on
// every rank for all tokens, so that it does not get less with more ranks: an embedding of 256
// frequencies, a layer of the model's width, and one of six times that for the modulations.
func (c *clip) tokenTimes(d Device, e Efficiency) float64 {
	const frequencies, layers = 256, 1 + 6
	t := c.how.Times
	if t == "" {
		return 0
	}
	if d.Peak[t] == 0 {
		t = "fp32"
	}
	width := float64(c.m.Heads * c.m.HeadDim)
	work := 2 * float64(c.w.WindowTokens()) * width * (frequencies + layers*width)
	return work / (d.Peak[t] * e.Linear)
}

// decode returns how long frames take, on one device or shared by all. The slowest device counts:
// a clip is ready when its last rows are.
func (c *clip) decode() (longest float64) {
	if !c.how.Shares {
		return c.rates[0].decoder
	}
	part := 1.
	if n := float64(len(c.pool.Nodes)); n > 1 {
		// Rows at the ends of a rank's part are decoded twice, as plan.MemoryOf has it.
		rows := float64(c.s.Height / c.m.SpatialScale)
		n = min(n, rows)
		part = min(1, 1/n+min(n-1, 2)*c.m.Cost.Memory.DecodeRows/rows)
	}
	for _, r := range c.rates {
		longest = max(longest, part*r.decoder)
	}
	return longest
}
