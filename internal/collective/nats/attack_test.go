package nats_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"testing"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/collective/transporttest"
	"github.com/longtake/longtake/internal/natsd"
)

// attackOn returns an attacker that has reached a server.
func attackOn(t *testing.T, s *natsd.Server) *transporttest.Attacker {
	nc, err := s.Connect(natsio.NoEcho())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	a := transporttest.NewAttacker(1, func(subject, reply string, frame []byte) {
		_ = nc.PublishRequest(subject, reply, frame)
		_ = nc.Flush() // no faster than the server takes it
	})
	_, err = nc.Subscribe("longtake.data.*", func(m *natsio.Msg) {
		a.Hear(m.Subject, m.Reply, m.Data)
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// clip stands for what ranks make of what they exchange: n messages each way, one of which follows
// from the other. It is the same whenever the exchanges are right.
func clip(t *testing.T, ranks [2]collective.Transport, n uint32) (sums [2]uint32, err error) {
	t.Helper()
	var wg sync.WaitGroup
	var errs [2]error
	for r, tr := range ranks {
		wg.Go(func() {
			defer func() {
				if errs[r] != nil {
					tr.Abort() // so that the other one does not wait
				}
			}()
			part := bytes.Repeat([]byte{byte(r)}, 8<<10)
			for i := range n {
				tag := collective.Tag{Step: 1, Op: i}
				if errs[r] = tr.Send(t.Context(), 1-r, tag, part); errs[r] != nil {
					return
				}
				var got []byte
				if got, errs[r] = tr.Recv(t.Context(), 1-r, tag); errs[r] != nil {
					return
				}
				sums[r] = crc32.Update(sums[r], crc32.IEEETable, got)
				part = slices.Clone(got)
				binary.LittleEndian.PutUint32(part, sums[r])
			}
		})
	}
	wg.Wait()
	for r := range errs {
		if errs[r] != nil {
			return sums, fmt.Errorf("rank %d: %w", r, errs[r])
		}
	}
	return sums, nil
}

// TestForgedFrames attacks a sealed attempt in its midst: the clip is the same as without, nothing
// ends, and what was sent is counted. An attempt without a key ends.
func TestForgedFrames(t *testing.T) {
	const messages = 60
	s := startServer(t, nats.ServerOptions("a"))
	a := attackOn(t, s)
	var eps [2]*nats.Endpoint
	nodes := []string{"x", "y"}
	for r, n := range nodes {
		eps[r] = endpoint(t, connect(t, s), n, quick(nats.Options{ChunkBytes: 512}))
	}
	join := func(attempt uint32, key collective.Key) (ranks [2]collective.Transport) {
		for r := range ranks {
			var err error
			if ranks[r], err = eps[r].Join("j", attempt, r, nodes, key); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(ranks[r].Abort)
		}
		return ranks
	}
	want, err := clip(t, join(1, collective.Key{}), messages)
	if err != nil {
		t.Fatal(err)
	}

	// One that has another attempt's key takes part as if it were rank 1.
	impostor := endpoint(t, connect(t, s), "y", quick(nats.Options{}))
	ranks := join(2, keyOf(2))
	stranger, err := impostor.Join("j", 2, 1, nodes, keyOf(3))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Abort()
	go func() { _ = stranger.Send(t.Context(), 0, collective.Tag{Step: 1}, make([]byte, 5000)) }()
	var got [2]uint32
	sent := a.During(func() { got, err = clip(t, ranks, messages) })
	if err != nil || got != want {
		t.Errorf("with %d forged frames: %08x, %v; want %08x", sent, got, err, want)
	}
	if n := ranks[0].Stats().Forged + ranks[1].Stats().Forged; n == 0 || sent < 100 {
		t.Errorf("%d frames of %d are counted as forged", n, sent)
	}
	if e := eps[0].Sent(); e.Forged < ranks[0].Stats().Forged {
		t.Errorf("the endpoint counts %d", e.Forged)
	}

	// The attack is a real one.
	open := join(4, collective.Key{})
	a.During(func() {
		if got, err = clip(t, open, 100*messages); err == nil {
			t.Error("an attempt without a key went on")
		}
	})
}
