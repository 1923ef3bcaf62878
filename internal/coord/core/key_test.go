package core

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

func locked(c *Config) { c.Locked = true }

// TestKeysAreOfAttempts gives all ranks of an attempt one key, and the next attempt another one,
// also where the leader changes before all have their orders. No key is in the log or a snapshot.
func TestKeysAreOfAttempts(t *testing.T) {
	w := leads(t, locked)
	var log bytes.Buffer
	w.applied = func(entry []byte) { log.Write(entry) }
	w.join("a")
	w.join("b")
	id := w.create(2)
	first := w.orders
	keys := keysOf(t, first)
	if len(keys) != 1 || len(first) != 2 {
		t.Fatalf("%d orders with %d keys", len(first), len(keys))
	}

	// One rank has its order when the leader goes. The new one repeats no order: what the ranks do
	// not all say that they do is lost, and they get others.
	w.orders = nil
	first[0].done(nil)
	w.k.Resign()
	w.k.Lead()
	w.join("a")
	w.join("b")
	for range 60 {
		w.beat("a", nil)
		w.beat("b", nil)
		w.pass(500 * time.Millisecond)
	}
	if r := w.record(id); r.Attempt != 2 || r.State != job.Running {
		t.Fatalf("attempt %d is %s", r.Attempt, r.State)
	}
	for k := range keysOf(t, w.orders) {
		if keys[k] {
			t.Error("a later attempt has an earlier one's key")
		}
		keys[k] = true
	}

	s, err := w.k.Snapshot()
	if err == nil {
		err = s.Write(&log)
	}
	if err != nil {
		t.Fatal(err)
	}
	for k := range keys {
		text, err := k.MarshalText()
		if err != nil || strings.Contains(log.String(), string(text)) {
			t.Errorf("the key is in what is replicated: %v", err)
		}
	}
	if len(keys) != 2 || log.Len() < 1000 {
		t.Errorf("%d keys, %d bytes of log and snapshot", len(keys), log.Len())
	}
}

// keysOf returns the keys of start orders.
func keysOf(t *testing.T, orders []order) map[collective.Key]bool {
	t.Helper()
	keys := map[collective.Key]bool{}
	for _, o := range orders {
		if s, ok := o.order.(wire.StartOrder); ok {
			keys[s.Key] = true
		}
	}
	if keys[collective.Key{}] {
		t.Error("an order has no key")
	}
	return keys
}

// TestOpenOrdersHaveNoKey keeps them as nodes of earlier versions know them.
func TestOpenOrdersHaveNoKey(t *testing.T) {
	w := leads(t)
	w.on("a", "h1", "r1")
	w.on("b", "h2", "r1")
	w.pass(probeLook)
	p := w.beat("a", nil)
	w.create(1)
	text, err := json.Marshal([]any{w.orders[0].order, p})
	if err != nil || p.Probe == nil || strings.Contains(string(text), `"key"`) {
		t.Errorf("%s, %v", text, err)
	}
}

// TestMeasurementsHaveKeys is of a locked cluster.
func TestMeasurementsHaveKeys(t *testing.T) {
	w := leads(t, locked)
	w.on("a", "h1", "r1")
	w.on("b", "h2", "r1")
	w.pass(probeLook)
	if p := w.beat("a", nil); p.Probe == nil || p.Probe.Key.IsZero() {
		t.Errorf("asked for %+v", p.Probe)
	}
}
