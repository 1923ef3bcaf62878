package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// clients ask for clips over HTTP, follow them and cancel some, as the web page, the CLI and SDKs
// do: one of four follows the stream of events, the others ask once a second.
type clients struct {
	c *coordinators
	f *fleet
	// Ends them, after all have had their answers.
	ctx context.Context

	wg sync.WaitGroup
	// Of requests under way.
	slots chan struct{}

	mu sync.Mutex
	// Acknowledged, with the final state once that is known.
	created map[job.ID]job.State
	// What went wrong, by its text.
	failed map[string]int
	// Of requests; ends when a coordinator is killed.
	live context.Context
	drop context.CancelFunc

	// Jobs that are not final.
	open atomic.Int64
}

// newClients returns clients of a cluster; ctx ends them. Nothing is asked for before arrive.
func newClients(ctx context.Context, c *coordinators, f *fleet) *clients {
	k := &clients{c: c, f: f, ctx: ctx, slots: make(chan struct{}, clientsMax),
		created: map[job.ID]job.State{}, failed: map[string]int{}}
	k.live, k.drop = context.WithCancel(ctx)
	return k
}

// interrupt stands for what a load balancer does that notices a dead coordinator by its sockets. It
// ends requests that may be under way to a coordinator that was killed just now, so that
// they go to another one, as behind a load balancer.
func (k *clients) interrupt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	k.live, k.drop = context.WithCancel(k.ctx)
}

// do sends a request until a coordinator has answered it, and times all of that. An error of the
// API that does not pass ends it.
func (k *clients) do(kind string, f func(context.Context, *client.Client) error) error {
	start := time.Now()
	for n := 0; ; n++ {
		k.mu.Lock()
		live := k.live
		k.mu.Unlock()

		// A refusal of the API says whether trying again can help.
		err := f(live, k.c.any(n).client)
		var refused *schema.Error
		passes := errors.As(err, &refused) && refused.Status >= 500 &&
			refused.Status != http.StatusInsufficientStorage // nobody makes room meanwhile
		if err == nil || k.ctx.Err() != nil || refused != nil && !passes {
			if k.ctx.Err() == nil && kind != "" {
				k.f.note(kind, time.Since(start), err)
			}
			return err
		}
		pause(k.ctx, 20*time.Millisecond)
	}
}

// any returns the n-th coordinator of those that live, as a load balancer does that notices at once
// who is dead.
func (c *coordinators) any(n int) *member {
	for i := range c.members {
		if m := c.members[(n+i)%len(c.members)]; !m.gone() {
			return m
		}
	}
	return c.members[0]
}

// arrive asks for clips at random times for as long as ctx lasts.
func (k *clients) arrive(ctx context.Context, rng *rand.Rand) {
	mean := float64(time.Second) / k.f.cfg.rate()
	next := time.Now()
	for n := 0; ; n++ {
		next = next.Add(time.Duration(mean * rng.ExpFloat64()))
		pause(ctx, time.Until(next))
		if ctx.Err() != nil {
			return
		}

		// All that is random is drawn here, so that a seed gives the same clips whatever the answers do.
		seed, stream := rng.Uint64()>>1, rng.IntN(4) == 0
		cancels := k.f.cfg.CancelOf > 0 && rng.IntN(k.f.cfg.CancelOf) == 0
		after := time.Duration(rng.Float64() * float64(k.f.cfg.clip()))

		// Clients without bound would open sockets without bound once coordinators fall behind.
		select {
		case k.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		k.wg.Go(func() {
			defer func() { <-k.slots }()
			k.one(n, seed, stream, cancels, after)
		})
	}
}

// one asks for a clip and follows it to its end.
func (k *clients) one(n int, seed uint64, stream, cancels bool, after time.Duration) {
	r := job.Request{Prompt: fmt.Sprintf("a ball that is bounced %d times", n), Seed: &seed,
		Steps: &k.f.cfg.Steps, Shards: k.f.cfg.Ranks, Key: fmt.Sprintf("bench-%d-%d", k.f.cfg.Seed, n)}

	// The key makes the request one that may be repeated: a coordinator that dies after it has
	// recorded the clip and before it has answered does not make the client ask for two.
	sent := time.Now()
	var v schema.Video
	err := k.do(kindCreate, func(ctx context.Context, c *client.Client) (err error) {
		v, err = c.Create(ctx, r)
		return err
	})
	if err != nil {
		k.wrong("create", err)
		return
	}
	k.f.submitted(v.ID, sent)
	k.open.Add(1)
	defer k.open.Add(-1)
	k.ends(v.ID, job.Queued)

	// A clip is cancelled at a random time of its life, in the queue or in the midst of a step.
	if cancels {
		t := time.AfterFunc(after, func() { k.cancel(v.ID) })
		defer t.Stop()
	}
	if state := k.follow(v.ID, stream); state != "" {
		k.ends(v.ID, state)
	}
}

// cancel cancels a job, unless it has ended meanwhile.
func (k *clients) cancel(id job.ID) {
	err := k.do(kindCancel, func(ctx context.Context, c *client.Client) error {
		_, err := c.Cancel(ctx, id)
		var refused *schema.Error
		// It has ended before the request came, as is bound to happen.
		if errors.As(err, &refused) && refused.Status == http.StatusConflict {
			return nil
		}
		return err
	})
	if err != nil {
		k.wrong("cancel", err)
	}
}

// follow returns a job's final state, "" if the clients end before.
func (k *clients) follow(id job.ID, stream bool) job.State {
	for k.ctx.Err() == nil {
		var v schema.Video
		var err error
		// Streams are not timed: they last as long as their clip.
		if stream {
			err = k.do("", func(ctx context.Context, c *client.Client) (err error) {
				v, err = c.Watch(ctx, id, func(schema.Video) {})
				return err
			})
		} else {
			pause(k.ctx, time.Second)
			err = k.do(kindGet, func(ctx context.Context, c *client.Client) (err error) {
				v, err = c.Get(ctx, id)
				return err
			})
		}

		switch {
		case err != nil:
			k.wrong("follow", err)
			return ""
		case v.Details.State.Final():
			return v.Details.State
		}
	}
	return ""
}

// ends notes the state of a job that was acknowledged. It is called twice: with Queued when the
// promise is given, and with the state in which the job has ended.
func (k *clients) ends(id job.ID, s job.State) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.created[id] = s
}

// wrong notes what a client was told that it should not have been, unless all ends.
func (k *clients) wrong(what string, err error) {
	if k.ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if text := what + ": " + err.Error(); len(k.failed) < reasonsKept || k.failed[text] > 0 {
		k.failed[text]++
	}
}

// drains is an operator's work: it takes a shard out of use and back, every now and then, for as
// long as ctx lasts.
func (k *clients) drains(ctx context.Context, rng *rand.Rand) {
	const every = 2 * time.Second
	for {
		pause(ctx, every)
		if ctx.Err() != nil {
			return
		}

		// The shard is taken back at once: drains are measured, and not a smaller cluster.
		all := k.f.all()
		id := string(all[rng.IntN(len(all))].id)
		err := k.do(kindDrain, func(ctx context.Context, c *client.Client) error {
			_, err := c.Drain(ctx, id, time.Minute)
			return err
		})
		if err == nil {
			err = k.do(kindDrain, func(ctx context.Context, c *client.Client) error {
				_, err := c.Undrain(ctx, id)
				return err
			})
		}
		if err != nil && !isNotFound(err) { // it was killed
			k.wrong("drain", err)
		}
	}
}

// lists asks for the latest clips, as open web pages do, for as long as ctx lasts.
func (k *clients) lists(ctx context.Context) {
	const every, latest = 500 * time.Millisecond, 50
	for ctx.Err() == nil {
		err := k.do(kindList, func(ctx context.Context, c *client.Client) error {
			_, err := c.List(ctx, "", latest, "")
			return err
		})
		if err != nil {
			k.wrong("list", err)
		}
		pause(ctx, every)
	}
}

func isNotFound(err error) bool {
	var refused *schema.Error
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound
}

// Jobs counts the clips that clients were promised, by what became of them.
type Jobs struct {
	// Acknowledged are those whose request was answered with an id: from there on they are promised.
	Acknowledged int `json:"acknowledged"`
	// Completed, Cancelled and Failed are the ends that coordinators told of. A clip fails only after
	// several attempts, so that not even shards that die make one of them here.
	Completed int `json:"completed"`
	Cancelled int `json:"cancelled"`
	Failed    int `json:"failed"`
	// Lost are those of which no coordinator says how they ended.
	Lost int `json:"lost"`
}

// jobs counts what became of all that was promised.
func (k *clients) jobs() (j Jobs) {
	k.mu.Lock()
	defer k.mu.Unlock()

	// A job without a final state is one that its client was promised and never saw end.
	for _, s := range k.created {
		j.Acknowledged++
		switch s {
		case job.Completed:
			j.Completed++
		case job.Cancelled:
			j.Cancelled++
		case job.Failed:
			j.Failed++
		default:
			j.Lost++
		}
	}
	return j
}
