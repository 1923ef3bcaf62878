package shard

import (
	"context"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/topology"
)

// TestProbesMeasure sends the rounds of a measurement between two ranks: both see a rate.
func TestProbesMeasure(t *testing.T) {
	world := mem.NewWorld(2, mem.Options{})
	done := make(chan float64)
	go func() {
		rate, err := receiveProbe(t.Context(), world[1])
		if err != nil {
			t.Error(err)
		}
		done <- rate
	}()
	sent, err := sendProbe(t.Context(), world[0])
	if received := <-done; err != nil || sent <= 0 || received <= 0 {
		t.Errorf("%v bytes a second sent, %v received, %v", sent, received, err)
	}
	for _, tr := range world {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOneProbeAtATime: a second one is refused, and an order ends the first.
func TestOneProbeAtATime(t *testing.T) {
	var l links
	ctx, _, end, ok := l.begin(t.Context())
	if _, _, _, twice := l.begin(t.Context()); !ok || twice {
		t.Fatalf("the first begins: %v, the second: %v", ok, twice)
	}
	l.interrupt()
	if ctx.Err() != context.Canceled {
		t.Errorf("the first goes on: %v", ctx.Err())
	}
	end()
	if _, number, end, ok := l.begin(t.Context()); !ok || number != 2 {
		t.Errorf("number %d after the first has ended: %v", number, ok)
	} else {
		end()
	}
	l.interrupt() // nothing is under way
}

// TestRatesAreSmoothed: what is measured later changes the rate by a quarter.
func TestRatesAreSmoothed(t *testing.T) {
	var l links
	l.add(topology.Net, 4e9)
	l.add(topology.Net, 8e9)
	if got := l.measured(); got != (topology.Rates{Net: 5e9}) {
		t.Errorf("%+v", got)
	}
}

// TestNodesOfTwoHostsMeasureTheirLinks has a leader ask nodes for the links between them.
func TestNodesOfTwoHostsMeasureTheirLinks(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	for _, name := range []string{"a", "b"} {
		k.addWith(name, ownServers(0), func(c *Config) { c.Host = "host-" + name })
	}
	deadline := time.After(time.Minute)
	for {
		nodes, err := k.c.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(nodes) == 2 && nodes[0].Rates.Net > 0 && nodes[1].Rates.Net > 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("nothing is measured: %+v", nodes)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
