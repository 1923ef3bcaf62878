package serve

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// stand makes clips in virtual time: so many at once, in the order in which they are asked for.
type stand struct {
	slots chan struct{}
	work  func(r target.Request) time.Duration
	fail  func(r target.Request) error // nil: none fails
	hash  func(r target.Request) string

	mu   sync.Mutex
	made []target.Request
	most int
	now  int
}

func newStand(slots int, work time.Duration) *stand {
	return &stand{slots: make(chan struct{}, slots),
		work: func(target.Request) time.Duration { return work },
		hash: func(r target.Request) string { return fmt.Sprint(r.Seed, r.Prompt) }}
}

func (s *stand) Describe(context.Context) (target.Server, error) {
	return target.Server{Dialect: "longtake", Product: "stand", Model: "m"}, nil
}

func (s *stand) Close() error { return nil }

func (s *stand) Make(ctx context.Context, r target.Request, _ target.Watch) (target.Outcome,
	error) {
	o := target.Outcome{Sent: time.Now()}
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.now--; s.mu.Unlock() }()
	if s.fail != nil {
		if err := s.fail(r); err != nil {
			return o, err
		}
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return o, &target.Failure{Kind: target.Cancelled, Message: "cancelled"}
	}
	defer func() { <-s.slots }()
	o.Queue = time.Since(o.Sent)
	select {
	case <-time.After(s.work(r)):
	case <-ctx.Done():
		return o, &target.Failure{Kind: target.Cancelled, Message: "cancelled"}
	}
	s.mu.Lock()
	s.made = append(s.made, r)
	s.mu.Unlock()
	o.Latency, o.LatentsSHA256, o.ID = time.Since(o.Sent), s.hash(r), fmt.Sprint(r.Seed)
	o.Stages, o.Attempts = map[string]time.Duration{"denoise": o.Latency - o.Queue}, 1
	return o, nil
}

// plain is a setup that passes Check.
func plain(s Scenario) Setup {
	out := Setup{Scenario: s, Seed: 1, Count: 20, Rounds: 1, InFlight: 1000, Precision: 0.1,
		Timeout: time.Hour}
	out.SetPrompts(prompts.List{Name: "list", SHA256: fmt.Sprintf("%064d", 0),
		Prompts: []prompts.Prompt{{Text: "a"}, {Text: "b"}, {Text: "c"}}})
	return out
}

// bench opens a run in a folder, which may have a journal of it.
func bench(t *testing.T, s Setup, on target.Target, dir string) *Bench {
	t.Helper()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	j, err := OpenJournal(filepath.Join(dir, "journal.jsonl"),
		Head(s, result.Cohort{Dialect: "longtake", Product: "stand"}, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return &Bench{Setup: s, Target: on, Journal: j}
}

// folder is for a test's files: in memory where there is such a file system, as a disk takes longer
// to write what a journal has than all else here.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "longtake-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// ran carries a setup out, and returns a result that is valid.
func ran(t *testing.T, s Setup, on target.Target) result.Result {
	t.Helper()
	b := bench(t, s, on, folder(t))
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := b.Result(result.Tool{Name: "test"}, nil)
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	return r
}
