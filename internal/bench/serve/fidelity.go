package serve

import (
	"context"
	"fmt"
	"os"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// A fast wrong answer is worth nothing, so some clips are made again when nothing is measured any
// more. Of a cluster of ours the latents have to be the same bytes on one shard. Other servers make
// the same request again, or a reference server makes it; their files are compared, and where these
// differ, their pictures.

// A clip that cannot be compared is neither right nor wrong, and is counted as neither: a report
// that says "2 of 2" has looked at two, and one that has looked at none says why.

// Reference is another server that makes clips which those of the measured one are compared with.
type Reference struct {
	Name   string // for people
	Target target.Target
	Ours   bool // it is a cluster of longtake, which is asked for one shard
}

// reference is what clips are compared with: the server itself, unless there is another one.
func (b *Bench) reference() Reference {
	if b.Reference != nil {
		return *b.Reference
	}
	if b.Journal.head.Cohort.Dialect == "longtake" {
		return Reference{"one shard", b.Target, true}
	}
	return Reference{"the same request again", b.Target, false}
}

// exact reports whether clips have to be equal, and not only alike: a cluster of ours promises the
// same bytes on any mesh.
func (b *Bench) exact() bool {
	return b.Reference == nil && b.Journal.head.Cohort.Dialect == "longtake"
}

// compare makes some clips again, unless that was done.
func (b *Bench) compare(ctx context.Context) error {
	if b.Setup.Fidelity == 0 || len(b.Setup.Faults) > 0 || b.Journal.again != nil {
		return nil
	}

	f := &result.Fidelity{Reference: b.reference().Name}
	if !b.exact() {
		f.PSNRNeeded = b.Setup.PSNR
	}

	// One clip that cannot be made again says nothing of the others.
	for i, q := range b.sample() {
		if b.Tell != nil {
			b.Tell(Status{What: "comparing", Done: i, Total: b.Setup.Fidelity})
		}
		u, err := b.judge(ctx, q)
		if ctx.Err() != nil {
			return ctx.Err()
		}

		switch {
		case err != nil:
			b.note("Clip %d could not be made again to compare it: %v.", q.Index, err)
		case u == nil:
			f.Compared, f.Equal = f.Compared+1, f.Equal+1
		default:
			f.Add(*u)
			b.note("Clip %d (seed %d) is not the same as by %s: %s%s.", q.Index, q.Seed, f.Reference,
				u.Verdict, reason(*u))
		}
	}

	if f.Compared == 0 && len(f.Clips) == 0 {
		b.note("No clip was compared with another one: the server tells no hash (--content reads the " +
			"files), or could not make it.")
		return nil
	}

	return b.Journal.add(entry{Again: f})
}

// reason is what there is to say of a clip's verdict.
func reason(u result.Unequal) string {
	out := ""
	if u.PSNR != nil {
		out = fmt.Sprintf(", PSNR %.1f dB", *u.PSNR)
	}
	if u.Why != "" {
		out += ", " + u.Why
	}
	return out
}

// One shard is the plainest way to make a clip: nothing is exchanged and nothing rounded in another
// order. A mesh that makes other bytes has lost or repeated something, however good it looks.

// A reference that is another server gets the same request, with the same seed, and nothing that
// would make it faster or slower: its clips are no measurements. What its model and its defaults
// are is the user's to choose: a server with another model makes other clips, and they are wrong
// by all that this program can know.

// again makes a clip again by a reference; into gets its file, where the server is one that sends
// it with its answer.
func (b *Bench) again(ctx context.Context, by Reference, q result.Request, into *os.File) (
	result.Request, error) {
	s := b.slots[q.Index]
	if by.Ours {
		extra := map[string]any{"shards": 1}
		for name, v := range s.Request.Extra {
			if name != "mesh" && name != "shards" {
				extra[name] = v
			}
		}
		s.Request.Extra = extra
	}

	if into != nil {
		s.Request.Into = into
	}

	// A clip that is the reference's is no measurement, and may take as long as it does.
	limited, cancel := context.WithTimeout(ctx, b.Setup.Timeout)
	defer cancel()
	o, err := by.Target.Make(limited, s.Request, nil)
	return record(s, 0, 0, o, err), err
}

// Latents go before files: the same latents may be written into files of other formats, and files
// of one format may have the time of day in their heads. Hashes of one kind on one side and of the
// other kind on the other side say nothing.

// sumsOf are the hashes by which two clips are compared: of latents where both tell those, else of
// files.
func sumsOf(a, b result.Request) (x, y string) {
	if a.LatentsSHA256 != "" && b.LatentsSHA256 != "" {
		return a.LatentsSHA256, b.LatentsSHA256
	}
	return a.ContentSHA256, b.ContentSHA256
}

// A hash that differs is a fact, and no measure: one bit that was rounded in another way, and a
// clip of something else, have both another hash. How far apart they are is what pictures say.

// judge makes a clip again and compares both. It returns nil if they are equal. An error is why the
// clip could not be made again; what cannot be compared is part of the verdict.
func (b *Bench) judge(ctx context.Context, q result.Request) (*result.Unequal, error) {
	by := b.reference()
	files, err := b.newPair(q)
	if err != nil {
		return nil, err
	}

	defer files.close()

	o, err := b.again(ctx, by, q, files.reference)
	if err != nil {
		return nil, err
	}

	// Equal hashes say all; others say nothing of how much the clips differ.
	u := &result.Unequal{Index: q.Index, Verdict: result.ClipWrong}
	if x, y := sumsOf(q, o); x != "" && x == y {
		return nil, nil
	}

	like, err := files.compare(ctx, b, by, q, o)

	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		u.Why = err.Error()
		// Another server's file is another one also where its pictures are the same, and of files that
		// nobody asked for nothing is promised.
		if x, _ := sumsOf(q, o); b.Reference != nil || x == "" {
			u.Verdict = result.ClipNotCompared
		}
	case like.Other != "":
		u.Why = like.Other
	case like.Same():
		if !b.exact() {
			return nil, nil
		}
		u.Why = "the latents differ, and the pictures do not"
	default:
		u.PSNR = new(like.PSNR)
		if !b.exact() && like.PSNR >= b.Setup.PSNR {
			u.Verdict = result.ClipAlike
		}
	}

	// Whoever doubts the verdict can look at both.
	files.keep = u.Verdict == result.ClipWrong
	return u, nil
}

// Which clips are made again is drawn at random, but by the seed: a server that knew which ones
// could be right in these alone.

// sample draws the clips that are made again, of those that have a hash, or a file that can be had.
func (b *Bench) sample() []result.Request {
	_, kept := b.Target.(target.Fetcher)
	var all []result.Request
	for _, q := range counted(b.clips) {
		if q.OK() && (q.LatentsSHA256 != "" || q.ContentSHA256 != "" || kept) {
			all = append(all, q)
		}
	}
	rng := stream(b.Setup.Seed, streamFidelity, 0)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), b.Setup.Fidelity)]
}
