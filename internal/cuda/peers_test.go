//go:build cuda

package cuda

import (
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
)

// TestMemoryOfAnotherGPU launches a kernel on memory of another GPU: it fails, unless the GPUs have
// access to each other's.
func TestMemoryOfAnotherGPU(t *testing.T) {
	onEmulator(t)
	t.Setenv("EMU_GPUS", "2")
	for _, peers := range []string{"0", "1"} {
		t.Setenv("EMU_PEERS", peers)
		var devs [2]*Device
		for i := range devs {
			d, err := Open(Options{Ordinal: i, Exact: true})
			if err != nil {
				t.Fatal(err)
			}
			devs[i] = d.(*Device)
		}
		from := viewOf("test", "from", dense(t, devs[0], 2, 3))
		to := viewOf("test", "to", dense(t, devs[1], 2, 3))
		if err := devs[0].Sync(); err != nil {
			t.Fatal(err)
		}
		devs[1].enter("test")
		devs[1].elements(copyRows, to, copyParams(to, from)...)
		devs[1].leave()
		if err := devs[1].Sync(); (err == nil) != (peers == "1") {
			t.Errorf("with access %s: %v", peers, err)
		}
		devs[1].Close()
		if err := devs[0].Close(); err != nil {
			t.Error(err)
		}
	}
}

// peerCopies opens copies with which d passes matrices to other devices.
func peerCopies(d *Device) compute.PeerCopies { return d.BeginCopies().(compute.PeerCopies) }

// TestTickets wants a ticket to be good once, for a matrix of its size, and not for ever.
func TestTickets(t *testing.T) {
	giver, taker := openSlabs(t), openSlabs(t)
	m, to, small := dense(t, giver, 7, 5), dense(t, taker, 7, 5), dense(t, taker, 7, 4)
	values := normal(35)
	giver.Upload(m, values)
	give := func() compute.Ticket {
		t.Helper()
		ticket, err := peerCopies(giver).Give(m, compute.FP32)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	refused := func(to compute.Mat, ticket compute.Ticket, want string) {
		t.Helper()
		c := peerCopies(taker)
		defer c.End()
		if err := c.Take(to, ticket, compute.FP32); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	ticket := give()
	refused(small, ticket, "sent 140 bytes, 112 expected")
	c := peerCopies(taker)
	if err := c.Take(to, ticket, compute.FP32); err != nil {
		t.Fatal(err)
	}
	c.End()
	got := make([]float32, 35)
	if err := taker.Download(got, to); err != nil || !slices.Equal(got, values) {
		t.Errorf("%v, %v", got, err)
	}
	refused(to, ticket, "taken before or has expired")
	ticket = give()
	giver.BeginCopies().End()
	giver.BeginCopies().End()
	refused(to, ticket, "taken before or has expired")
	if n := len(peers.waiting); n != 0 {
		t.Errorf("%d transfers wait for ever", n)
	}
}

// TestAGiverMayClose closes devices while what they gave is under way, taken or not.
func TestAGiverMayClose(t *testing.T) {
	taker := openSlabs(t)
	var tickets [2]compute.Ticket
	values := normal(5000)
	giver, err := Open(Options{CopyBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	m := dense(t, giver, 50, 100)
	giver.Upload(m, values)
	for i := range tickets {
		if tickets[i], err = peerCopies(giver.(*Device)).Give(m, compute.FP32); err != nil {
			t.Fatal(err)
		}
	}
	to, c := dense(t, taker, 50, 100), peerCopies(taker)
	if err := c.Take(to, tickets[0], compute.FP32); err != nil {
		t.Fatal(err)
	}
	if err := giver.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Take(to, tickets[1], compute.FP32); err == nil {
		t.Error("a closed device has given something")
	}
	c.End()
	got := make([]float32, 5000)
	if err := taker.Download(got, to); err != nil || !slices.Equal(got, values) {
		t.Errorf("not what was given: %v", err)
	}
}
