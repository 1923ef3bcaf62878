package nats_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/natsd"
)

// attacker is somebody on the NATS server of an attempt, without the attempt's key. It hears all
// frames, and sends others.
type attacker struct {
	nc   *natsio.Conn
	rng  *rand.Rand
	sent int

	mu    sync.Mutex
	heard []*natsio.Msg // the latest
}

func newAttacker(t *testing.T, s *natsd.Server) *attacker {
	nc, err := s.Connect(natsio.NoEcho())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	a := &attacker{nc: nc, rng: rand.New(rand.NewPCG(1, 2))}
	_, err = nc.Subscribe("longtake.data.*", func(m *natsio.Msg) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.heard = append(a.heard, m)
		if len(a.heard) > 100 {
			a.heard = a.heard[1:]
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// frame is a right frame of an attempt without a key: what finding 5 of an attack on an earlier
// version sent.
func frame(like []byte, kind byte, change func(f []byte), payload []byte) []byte {
	f := append(slices.Clone(like[:88]), payload...)
	f[4], f[5] = 1, kind
	clear(f[80:88])
	change(f)
	binary.LittleEndian.PutUint32(f[80:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(f[84:], crc32.Checksum(f, crc32.MakeTable(crc32.Castagnoli)))
	return f
}

// Kinds and places of fields in a frame, as frame.go has them.
const (
	data, bye, ping               = 1, 5, 4
	srcAt, dstAt, opAt, sessionAt = 20, 24, 32, 40
	messageAt, totalAt, offsetAt  = 56, 64, 72
)

// attack sends one of everything that it can think of, made of what it has heard.
func (a *attacker) attack() {
	a.mu.Lock()
	heard := slices.Clone(a.heard)
	a.mu.Unlock()
	heard = slices.DeleteFunc(heard, func(m *natsio.Msg) bool { return len(m.Data) < 88 })
	if len(heard) == 0 {
		return
	}
	m, other := heard[a.rng.IntN(len(heard))], heard[a.rng.IntN(len(heard))]
	f, le := m.Data, binary.LittleEndian
	send := func(subject string, f []byte) {
		_ = a.nc.PublishRequest(subject, m.Reply, f)
		a.sent++
	}
	none := func([]byte) {}

	// Repeated, changed in a bit, cut, to its sender, and with another one's payload.
	send(m.Subject, f)
	flipped := bytes.Clone(f)
	flipped[a.rng.IntN(len(f))] ^= 1 << a.rng.IntN(8)
	send(m.Subject, flipped)
	send(m.Subject, f[:a.rng.IntN(len(f))])
	reflected := bytes.Clone(f)
	copy(reflected[srcAt:], f[dstAt:dstAt+4])
	copy(reflected[dstAt:], f[srcAt:srcAt+4])
	send(m.Reply, f)
	send(m.Reply, reflected)
	send(m.Subject, append(bytes.Clone(f[:88]), other.Data[88:]...))

	// The ping that ended attempts: of another session, so that the rank seems to have restarted.
	send(m.Subject, frame(f, ping, func(f []byte) { f[sessionAt] ^= 0xff }, nil))
	restarted := bytes.Clone(f)
	restarted[sessionAt] ^= 0xff
	send(m.Subject, restarted)
	send(m.Subject, frame(f, bye, none, []byte{0, 0, 0, 0, 0}))
	send(m.Subject, frame(f, bye, none, []byte{2, 0, 0, 0, 0}))

	// Messages ahead of the right ones, and in their place.
	payload := bytes.Repeat([]byte{0xbd}, 512)
	for ahead := range uint32(4) {
		send(m.Subject, frame(f, data, func(f []byte) {
			le.PutUint32(f[opAt:], le.Uint32(f[opAt:])+ahead)
			le.PutUint64(f[messageAt:], le.Uint64(f[messageAt:])+uint64(ahead))
			le.PutUint64(f[totalAt:], 512)
			clear(f[offsetAt : offsetAt+8])
			clear(f[36:40]) // the first chunk
		}, payload))
	}
}

// during attacks until f has returned.
func (a *attacker) during(f func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				a.attack()
				_ = a.nc.Flush() // no faster than the server takes it
			}
		}
	}()
	f()
	close(stop)
	<-ended
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
	a := newAttacker(t, s)
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
	a.during(func() { got, err = clip(t, ranks, messages) })
	if err != nil || got != want {
		t.Errorf("with %d forged frames: %08x, %v; want %08x", a.sent, got, err, want)
	}
	if n := ranks[0].Stats().Forged + ranks[1].Stats().Forged; n == 0 || a.sent < 100 {
		t.Errorf("%d frames of %d are counted as forged", n, a.sent)
	}
	if e := eps[0].Sent(); e.Forged < ranks[0].Stats().Forged {
		t.Errorf("the endpoint counts %d", e.Forged)
	}

	// The attack is a real one.
	open := join(4, collective.Key{})
	a.during(func() {
		if got, err = clip(t, open, 100*messages); err == nil {
			t.Error("an attempt without a key went on")
		}
	})
}
