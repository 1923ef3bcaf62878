package serve

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/bench/result"
)

// A fast wrong answer is worth nothing, so some clips are made again when nothing is measured any
// more. Of a cluster of ours the latents have to be the same bytes on one shard; of another server,
// the file has to be that of the same request made again, which those promise that are
// deterministic at all.

// compare makes some clips again, unless that was done.
func (b *Bench) compare(ctx context.Context) error {
	if b.Setup.Fidelity == 0 || len(b.Setup.Faults) > 0 || b.Journal.again != nil {
		return nil
	}
	ours := b.Journal.head.Cohort.Dialect == "longtake"
	f := &result.Fidelity{Reference: "the same request again"}
	if ours {
		f.Reference = "one shard"
	}

	for _, q := range b.sample(ours) {
		if b.Tell != nil {
			b.Tell(Status{What: "comparing", Done: f.Compared, Total: b.Setup.Fidelity})
		}
		o, err := b.again(ctx, q, ours)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.note("Clip %d could not be made again to compare it: %v.", q.Index, err)
			continue
		}

		if sumOfClip(o, ours) == "" {
			continue
		}
		f.Compared++
		if sumOfClip(q, ours) == sumOfClip(o, ours) {
			f.Equal++
		} else {
			b.note("Clip %d (seed %d) is another one than by %s.", q.Index, q.Seed, f.Reference)
		}
	}

	if f.Compared == 0 {
		b.note("No clip was compared with another one: the server tells no hash, or could not make it.")
		return nil
	}
	return b.Journal.add(entry{Again: f})
}

// One shard is the plainest way to make a clip: nothing is exchanged and nothing rounded in another
// order. A mesh that makes other bytes has lost or repeated something, however good it looks.

// again makes a clip again, of a cluster of ours on one shard.
func (b *Bench) again(ctx context.Context, q result.Request, ours bool) (result.Request, error) {
	s := b.slots[q.Index]
	if ours {
		extra := map[string]any{"shards": 1}
		for name, v := range s.Request.Extra {
			if name != "mesh" && name != "shards" {
				extra[name] = v
			}
		}
		s.Request.Extra = extra
	}
	limited, cancel := context.WithTimeout(ctx, b.Setup.Timeout)
	defer cancel()
	o, err := b.Target.Make(limited, s.Request, nil)
	return record(s, 0, 0, o, err), err
}

// sumOfClip is the hash by which clips are compared.
func sumOfClip(q result.Request, latents bool) string {
	if latents {
		return q.LatentsSHA256
	}
	return q.ContentSHA256
}

// Which clips are made again is drawn at random, but by the seed: a server that knew which ones
// could be right in these alone.

// sample draws the clips that are made again, of those that have a hash.
func (b *Bench) sample(ours bool) []result.Request {
	var all []result.Request
	for _, q := range counted(b.clips) {
		if q.OK() && sumOfClip(q, ours) != "" {
			all = append(all, q)
		}
	}
	rng := stream(b.Setup.Seed, streamFidelity, 0)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), b.Setup.Fidelity)]
}

// Differences says what of a result makes it one that nobody should trust, "" for nothing.
func Differences(f *result.Fidelity) string {
	if f == nil || f.Equal == f.Compared {
		return ""
	}
	return fmt.Sprintf("%d of %d clips differ from %s", f.Compared-f.Equal, f.Compared, f.Reference)
}
