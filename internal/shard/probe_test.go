package shard

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
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
	l.add(topology.Net, 4e9, 0)
	l.add(topology.Net, 8e9, 4e-3)
	l.add(topology.Net, 0, 8e-3)
	rates, delays := l.measured()
	if rates != (topology.Rates{Net: 5e9}) || delays != (topology.Delays{Net: 5e-3}) {
		t.Errorf("%+v, %+v", rates, delays)
	}
}

// TestNodesOfTwoHostsMeasureTheirLinks has a leader ask nodes for the links between them, over each
// transport, and place a job by what they find.
func TestNodesOfTwoHostsMeasureTheirLinks(t *testing.T) {
	for _, transport := range []string{TransportNATS, TransportDirect} {
		t.Run(transport, func(t *testing.T) {
			k := startCluster(t, 0, ownServers)
			for _, name := range []string{"a", "b"} {
				plane := DataPlane{PeerTimeout: 10 * time.Second, Transport: transport}
				k.addWith(name, plane, func(c *Config) { c.Host, c.Rack = "host-"+name, "r" })
			}
			k.awaitRates()

			v := k.await(k.create(request(5, 2, 2, job.Mesh{})), never)
			if v.State != job.Completed || !strings.Contains(v.Plan.Predicted, "s a step") ||
				!strings.HasPrefix(v.Plan.Where, "2 hosts: host-") {
				t.Errorf("%s (%s) on %q: %q", v.State, v.Error, v.Plan.Where, v.Plan.Predicted)
			}
		})
	}
}

// awaitRates waits until all nodes have measured what they reach over the network, and how soon.
func (k *cluster) awaitRates() {
	k.t.Helper()
	unknown := func(n coord.Node) bool { return n.Rates.Net == 0 || n.Delays.Net == 0 }
	for deadline := time.After(patience); ; {
		nodes, err := k.c.Nodes(k.t.Context())
		if err != nil {
			k.t.Fatal(err)
		}
		if !slices.ContainsFunc(nodes, unknown) {
			return
		}
		select {
		case <-deadline:
			k.t.Fatalf("nothing is measured: %+v", nodes)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
