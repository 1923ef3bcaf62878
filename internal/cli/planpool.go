package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/advise"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/fleet"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/shard"
	"github.com/longtake/longtake/internal/userfile"
)

// poolOpener makes pools, with the prices of a sheet; nil: there is none.
type poolOpener struct{ sheet *price.Sheet }

// named returns the pool of a line such as 8xH100, or of a file.
func (o poolOpener) named(text string) (advise.Pool, error) {
	// A file's name may look like a device: ours.yaml is a pool, 8x./mine.yaml eight devices.
	read := fleet.Parse
	if yaml := strings.HasSuffix(text, ".yaml") || strings.HasSuffix(text, ".yml"); yaml &&
		!counted(text) {
		read = readFleet
	}
	f, err := read(text)
	if err != nil {
		return advise.Pool{}, err
	}
	return o.of(f)
}

// counted reports whether a pool begins with a number, and so is none that a file has.
func counted(text string) bool {
	digits, _, ok := strings.Cut(text, "x")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// readFleet reads a pool's file.
func readFleet(path string) (fleet.Pool, error) {
	text, err := userfile.Read(path, fleet.FileMax)
	if err != nil {
		return fleet.Pool{}, fmt.Errorf("cannot read the pool: %w", err)
	}
	f, err := fleet.ReadFile(text)
	if err != nil {
		return fleet.Pool{}, fmt.Errorf("pool file %s: %w", path, err)
	}
	f.Name = cmp.Or(f.Name, path)
	return f, nil
}

// of makes a pool of a fleet, whose devices come with the program or are files. A file is read each
// time that it is named, also for what would help.
func (o poolOpener) of(f fleet.Pool) (advise.Pool, error) {
	return advise.OfFleet(f, func(name string) (perf.Device, error) {
		if !fleet.IsFile(name) {
			return perf.Find(name)
		}

		text, err := userfile.Read(name, perf.FileMax)
		if err != nil {
			return perf.Device{}, fmt.Errorf("cannot read the device: %w", err)
		}
		d, err := perf.Read(bytes.NewReader(text))
		if err != nil {
			return perf.Device{}, fmt.Errorf("%s: %w", name, err)
		}
		return d, nil
	}, o.sheet)
}

// present returns the pool of the shards that there are: those registered at a coordinator, or n
// that are as fast as this machine's CPU; for 0 the default number.
func (o poolOpener) present(cmd *cobra.Command, m job.Model, n int) (advise.Pool, error) {
	// A coordinator knows what its shards have measured.
	v, err := load(cmd)
	if err != nil {
		return advise.Pool{}, err
	}
	if url := v.String("coordinator"); url != "" {
		all, err := nodes(cmd)
		if err != nil {
			return advise.Pool{}, err
		}

		p, err := poolOf(all)
		p.Name, p.Sheet = url, o.sheet
		return p, err
	}

	// All cores for one shard: each of the n stands for a machine like this one.
	speed, memory, err := shard.RateCPU(m, 0, 1)
	if err != nil {
		return advise.Pool{}, daemon.Usage(err)
	}
	n = cmp.Or(n, local.DefaultShards)

	p := advise.Pool{Name: "this machine", Sheet: o.sheet,
		About: count(n, "shard") + ", each as fast as this machine"}
	d := measuredDevice(schema.Node{Device: "cpu", Speed: speed, Memory: memory})
	d.Source = "measured: a moment ago, on this machine"
	for range n {
		p.Nodes = append(p.Nodes, perf.Node{Device: d, Host: "here"})
	}
	return p, nil
}

// poolOf makes a pool of registered shards. Shards at work count like idle ones: the plan is for a
// cluster that has nothing else to do. Of what they reach over their links the least counts,
// and of how long messages take there the most.
func poolOf(all []schema.Node) (advise.Pool, error) {
	var p advise.Pool
	var rates, delays [3]float64
	for _, n := range all {
		if n.State == "draining" || n.State == "drained" {
			continue // it gets no new work
		}
		if n.Speed <= 0 {
			return p, fmt.Errorf("cannot plan: shard %s has not said how fast it is", n.Name)
		}

		p.Nodes = append(p.Nodes, perf.Node{Device: measuredDevice(n), Host: n.Host, Rack: n.Rack})
		for i, v := range []float64{cmp.Or(n.Rates.Process, n.Rates.Host), n.Rates.Net, n.Rates.Far} {
			if v > 0 && (rates[i] == 0 || v < rates[i]) {
				rates[i] = v
			}
		}
		d := n.Delays
		for i, v := range []float64{cmp.Or(d.Process, d.Host), d.Net, d.Far} {
			delays[i] = max(delays[i], v)
		}
	}

	if len(p.Nodes) == 0 {
		return p, errors.New("cannot plan: no shard is registered that takes work; --pool plans without")
	}
	link := func(i int) perf.Link { return perf.Link{Bytes: rates[i], Latency: delays[i]} }
	p.Inside, p.Network, p.Racks = link(0), link(1), link(2)
	slices.SortStableFunc(p.Nodes, func(a, b perf.Node) int { return cmp.Compare(a.Host, b.Host) })

	p.About = fmt.Sprintf("%s on %s", count(len(p.Nodes), "shard"), count(p.Hosts(), "host"))
	return p, nil
}

// measuredDevice is a shard's device by the speed that the shard has measured, which it reaches in
// everything. It links to others as memory does.
func measuredDevice(n schema.Node) perf.Device {
	const bandwidth, link, arch = 1e15, 10e9, "cpu"
	// The bandwidth is beyond what could be felt: the measured speed has its share of it.
	d := perf.Device{Name: n.Device, Arch: arch, Memory: n.Memory, Peak: map[string]float64{},
		Source: "measured: by the shard when it started", Bandwidth: bandwidth, Link: link,
		Bus: "memory", Efficiency: map[string]perf.Efficiency{}}
	if !strings.HasPrefix(n.Device, arch) { // "cpu: 8 threads, avx2"
		d.Arch = "other"
	}

	for _, t := range job.DTypes {
		d.Peak[t] = n.Speed
		d.Efficiency[t] = perf.Efficiency{Linear: 1, Attention: 1, Convolution: 1, Memory: 1}
	}
	return d
}
