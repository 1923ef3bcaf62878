package coord

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/longtake/longtake/internal/job"
)

// op is what a client asked, and what it was told; an empty answer is none, so that it may have
// happened, may happen yet, or not at all.
type op struct{ kind, key string }

// jobModel is the job API as one machine would do it: a job of a key is there once, from the first
// create on, and stays cancelled once it is.
var jobModel = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, o := range all {
			by[o.Input.(op).key] = append(by[o.Input.(op).key], o)
		}
		var out [][]porcupine.Operation
		for _, ops := range by {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return job.State("") },
	Step: func(state, input, output any) (bool, any) {
		s, told := state.(job.State), output.(job.State)
		switch input.(op).kind {
		case "create":
			if s == "" {
				s = job.Queued
			}
		case "cancel":
			if s == "" {
				return told == "", s
			}
			s = job.Cancelled
		}
		return told == "" || told == s, s
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprint(in, " -> ", out) },
}

// history collects operations.
type history struct {
	mu    sync.Mutex
	start time.Time
	ops   []porcupine.Operation
	told  int
}

// do records one operation of a client. One that was refused before it could change anything, and
// one that only looked and was told nothing, count for nothing.
func (h *history) do(client int, c *Coordinator, o op, f func() (job.Record, error)) job.Record {
	led := c.leads()
	call := time.Since(h.start).Nanoseconds()
	r, err := f()
	rec := porcupine.Operation{ClientId: client, Input: o, Call: call, Output: r.State,
		Return: time.Since(h.start).Nanoseconds()}
	led = led || c.leads()
	if err != nil && (!led || o.kind == "get") {
		return r
	}
	if err != nil {
		rec.Output, rec.Return = job.State(""), math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.told++
	}
	h.ops = append(h.ops, rec)
	return r
}

// members are coordinators of which one may be away.
type members struct {
	mu  sync.RWMutex
	all []*Coordinator
}

// any returns one of them, whether it leads or not.
func (m *members) any() *Coordinator {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.all[rand.IntN(len(m.all))]
}

// TestTheJobAPIIsLinearizable lets clients create, look at and cancel jobs, each at any
// coordinator, while leaders are closed, started again and deposed, and looks for an order in which
// one machine would have given the same answers.
func TestTheJobAPIIsLinearizable(t *testing.T) {
	length := 6 * time.Second
	if testing.Short() {
		length = 2 * time.Second
	}
	all, _ := three(t, func(*Config) {})
	f := fake(t, all[0], "a") // tells of the model
	f.leave()
	m, h := &members{all: all}, &history{start: time.Now()}
	end := time.Now().Add(length)
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() { client(m, h, i, end) })
	}
	for time.Now().Before(end) {
		time.Sleep(time.Duration(200+rand.IntN(600)) * time.Millisecond)
		disturb(t, m)
	}
	clients.Wait()
	if h.told < 20 {
		t.Fatalf("only %d of %d operations were answered", h.told, len(h.ops))
	}
	t.Logf("%d operations, %d answered", len(h.ops), h.told)
	if res := porcupine.CheckOperationsTimeout(jobModel, h.ops, time.Minute); res != porcupine.Ok {
		t.Errorf("the history is not linearizable: %v", res)
		for _, o := range h.ops {
			t.Log(o.ClientId, o.Input, o.Output, o.Call, o.Return)
		}
	}
}

// client asks one thing after the other.
func client(m *members, h *history, n int, end time.Time) {
	ctx := context.Background()
	ids := map[string]job.ID{}
	for i := 0; time.Now().Before(end); i++ {
		key, c := fmt.Sprintf("k%d", i/20), m.any() // shared by all clients
		id, known := ids[key]
		switch {
		case !known || rand.IntN(4) == 0:
			r := request(8) // more than there are, so that it waits
			r.Key = key
			seed := uint64(1)
			r.Seed = &seed
			rec := h.do(n, c, op{"create", key}, func() (job.Record, error) { return c.Create(ctx, r) })
			if rec.ID != "" {
				ids[key] = rec.ID
			}
		case rand.IntN(8) == 0:
			h.do(n, c, op{"cancel", key}, func() (job.Record, error) {
				v, err := c.Cancel(ctx, id)
				return v.Record, err
			})
		default:
			h.do(n, c, op{"get", key}, func() (job.Record, error) {
				v, err := c.Get(ctx, id)
				return v.Record, err
			})
		}
		time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
	}
}

// disturb closes a coordinator and starts it again, or hands the leadership over.
func disturb(t *testing.T, m *members) {
	i := rand.IntN(len(m.all))
	c := m.all[i]
	if rand.IntN(3) == 0 {
		c.TransferLeader(context.Background(), "") //nolint:errcheck // it need not lead
		return
	}
	closed(t, c)
	next := start(t, c.cfg)
	m.mu.Lock()
	m.all[i] = next
	m.mu.Unlock()
}
