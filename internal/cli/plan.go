package cli

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/advise"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/published"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/pricefile"
	"github.com/longtake/longtake/internal/shard"
)

// planCommand shows the meshes for a clip and what they would take, without making it. It needs the
// model's configuration, not its weights, and no device: a pool is one that people name, the shards
// of a coordinator, or shards like this machine, and all three go the same way. The answer is on
// stdout; --json prints the meshes alone. A clip that would be refused, by a limit on time or
// memory, is planned all the same: the plan shows by how much it is too large. The exit code tells
// scripts of a clip that no pool has the memory for.
func planCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plan", Short: "Predict what a clip takes, here or on devices to buy",
		Long: `Predict what a clip takes on each mesh of a pool of devices: which is the fastest and why
the others are not, whether it fits into memory, what limits it and what would help, how
many clips an hour the pool makes, and what they cost.

  longtake plan --model Wan2.2-T2V-A14B --size 1280x720 --pool 8xH100
  longtake plan --model Wan2.2-T2V-A14B --pool '8xH100,4x(8xH200)+ib400'
  longtake plan --model Wan2.1-T2V-14B --pool ours.yaml --rate 30/h --objective 5m
  longtake plan --shards 4 --seconds 60

A pool is hosts and what lies between them: 8xH100 is a host of eight, 4x(8xH200)+ib four
such hosts with InfiniBand, 100xcpu a hundred machines. Links are ib, ib200, ib400, ib800,
roce, 10g (any rate), 12.5GB/s, several as 8xib400, with a latency as 10g@1ms. A device is
a name, or the file that describes one, as 8x./mine.yaml. Several pools, with commas, are
compared. A file of YAML has what you own, with prices; docs/planning.md explains it.

Without --pool the devices are the shards of --coordinator (or LONGTAKE_URL), or else
shards that are as fast as this machine's CPU. Nothing else runs on them, and models are
loaded. The model is a folder on this machine or the name of a published one; no weights
and no pictures are read. --profile predicts what other programs take.

Exit codes: 3 if the clip fits into the memory of no pool; stderr then says what a device
needs and what it has, and stdout has the plan all the same. 0 if it fits into one.`,
		Args: daemon.NoArgs}
	f := cmd.Flags()
	var a planAsk
	f.IntVar(&a.shards, "shards", 0, "look at meshes of exactly so many (default: of all numbers)")
	f.StringVar(&a.model, "model", "", "folder of the model, or the name of a published one, such as "+
		"Wan2.2-T2V-A14B (default: the built-in one)")
	f.StringArrayVar(&a.pools, "pool", nil, "devices, such as 8xH100 or '4x(8xH200)+ib', or a YAML "+
		"file; several are compared")

	// What they cost, who computes, and how much is asked for.
	f.StringVar(&a.pricing, "pricing", "", "price sheet, by which costs are shown")
	f.StringVar(&a.profile, "profile", perf.Longtake, "program that makes the clip: "+
		strings.Join(perf.Profiles(), ", "))
	f.StringVar(&a.rate, "rate", "",
		"clips that are asked for, such as 30/h: how many devices they need")
	f.DurationVar(&a.objective, "objective", 0,
		"time in which 95 % of them are to be ready, such as 5m")
	defineFields(f, &a.request, func(field job.Field) bool { return field.Plans })

	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.Changed("shards") && a.shards < 1 {
			return daemon.Usagef("--shards is %d; allowed: from 1", a.shards)
		}

		// An empty one is a shell's variable that is not set, rather than none.
		a.pools = strings.Split(strings.Join(a.pools, ","), ",")
		if !f.Changed("pool") {
			a.pools = nil
		}

		plans, err := a.plans(cmd)
		if err != nil {
			return err
		}
		show := a.print
		if *js {
			show = printPlanLines
		}
		return cmp.Or(show(cmd.OutOrStdout(), plans), unfit(plans))
	}
	return cmd
}

// planAsk is what a plan is asked for, as its flags say it.
type planAsk struct {
	// shards is how many ranks meshes have; 0: whatever is worth a look.
	shards int
	// model is a folder, the name of a published model, or "" for the built-in one.
	model string
	// pools are lines such as 8xH100 or files; none: the shards that there are.
	pools []string
	// pricing is the file of a price sheet, "" for none; profile the name of a program.
	pricing, profile string
	// rate is how many clips are asked for, such as 30/h, and objective in which time they are to be
	// ready; "" and 0 where nobody asks.
	rate      string
	objective time.Duration
	// request is the clip.
	request job.Request
}

// planned is a pool with what a clip takes on it. Pools have clips of their own, as the type of
// products depends on the devices.
type planned struct {
	clip    advise.Clip
	pool    advise.Pool
	options []advise.Option
}

// fastest returns the option of the least time; nil if nothing fits.
func (p planned) fastest() *advise.Option {
	return p.marked(func(o advise.Option) bool { return o.Fastest })
}

// most returns the option of the most clips an hour; nil if nothing fits.
func (p planned) most() *advise.Option {
	return p.marked(func(o advise.Option) bool { return o.Most })
}

func (p planned) marked(is func(advise.Option) bool) *advise.Option {
	for i := range p.options {
		if is(p.options[i]) {
			return &p.options[i]
		}
	}
	return nil
}

// plans predicts the clip on each of the pools. All that is asked for is checked before.
func (a *planAsk) plans(cmd *cobra.Command) ([]planned, error) {
	if err := a.checkRate(); err != nil {
		return nil, err
	}
	how, err := perf.FindProfile(a.profile)
	if err != nil {
		return nil, daemon.Usagef("--%v", err)
	}

	m, err := describe(a.model)
	if err != nil {
		return nil, daemon.Usage(err)
	}
	printNotices(cmd.ErrOrStderr(), m.Notices)

	// Devices are looked up before anything is predicted.
	pools, err := a.open(cmd, m)
	if err != nil {
		return nil, err
	}

	// The type of products depends on the devices, and so does the clip.
	var out []planned
	for _, p := range pools {
		clip, err := a.clip(m, p, how)
		if err != nil {
			return nil, err
		}

		ranks := a.shards
		if ranks > len(p.Nodes) {
			return nil, daemon.Usagef("--shards is %d; allowed: up to %d, which %s has", ranks,
				len(p.Nodes), p.Name)
		}
		options, err := advise.Options(clip, p, ranks)
		if err != nil && ranks > 0 {
			return nil, daemon.Usagef("--shards is %d; allowed: %v", ranks, err)
		}
		if err != nil {
			return nil, daemon.Usage(err)
		}
		out = append(out, planned{clip, p, options})
	}
	return out, nil
}

// clip is the one that is asked for, on a pool: GPUs multiply in bfloat16, unless --dtype says
// otherwise. What was measured of shards holds for whatever they compute.
func (a *planAsk) clip(m job.Model, p advise.Pool, how perf.Profile) (advise.Clip, error) {
	if p.GPUs() {
		m.Defaults.DType = job.DTypes[1]
	}
	// Resolve fills in the model's defaults, on which the number of tokens depends.
	s, err := m.Resolve(m.Sketch(a.request), nil)
	if err != nil {
		return advise.Clip{}, inFlags(err)
	}
	if p.Fleet == nil {
		how.Traffic, how.Decoded, how.Launch, how.Delay, how.Products = 0, 0, 0, 0, 1
	}
	return advise.Clip{Model: m, Spec: s, How: how}, nil
}

// open returns the pools that are asked for, and their prices.
func (a *planAsk) open(cmd *cobra.Command, m job.Model) (pools []advise.Pool, err error) {
	o := poolOpener{}
	if a.pricing != "" {
		if o.sheet, err = pricefile.Read(a.pricing); err != nil {
			return nil, err
		}
	}
	if len(a.pools) == 0 {
		p, err := o.present(cmd, m, a.shards)
		return []advise.Pool{p}, err
	}

	// A pool takes up to a second, so that a list of them has to end.
	const most = 16
	if len(a.pools) > most {
		return nil, daemon.Usagef("--pool has %d pools; allowed: up to %d", len(a.pools), most)
	}

	for _, text := range a.pools {
		p, err := o.named(text)
		if err != nil {
			return nil, daemon.Usagef("--pool: %v", err)
		}
		pools = append(pools, p)
	}
	return pools, nil
}

// describe describes the model in a folder, or the published one of that name where there is no
// such folder.
func describe(model string) (job.Model, error) {
	open := shard.OpenModel
	if _, err := os.Stat(model); errors.Is(err, fs.ErrNotExist) && named(model) {
		open = published.Open
	}
	folder, err := open(model)
	if err != nil {
		return job.Model{}, err
	}
	defer folder.Close()
	return engine.Describe(folder)
}

// named reports whether a text may be the name of a model, and is not that of a folder.
func named(model string) bool {
	path := strings.HasPrefix(model, ".") || strings.ContainsAny(model, `/\`)
	return model != "" && (published.Known(model) || !path)
}
