package nats

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/collective"
)

// drawHeader draws any header and a payload.
func drawHeader(t *rapid.T) (header, []byte) {
	u32 := func(name string) uint32 { return rapid.Uint32().Draw(t, name) }
	u64 := func(name string) uint64 { return rapid.Uint64().Draw(t, name) }
	return header{
		kind: kind(rapid.IntRange(int(kindData), int(kindBye)).Draw(t, "kind")), job: u64("job"),
		attempt: u32("attempt"), src: u32("src"), dst: u32("dst"),
		tag:   collective.Tag{Step: u32("step"), Op: u32("op")},
		index: u32("index"), session: u64("session"), peerSession: u64("peer session"),
		message: u64("message"), total: u64("total"), offset: u64("offset"),
	}, rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, payload := drawHeader(t)
		frame := appendFrame([]byte("before"), want, payload)[len("before"):]
		if len(frame) != headerBytes+len(payload) {
			t.Fatalf("%d bytes with a payload of %d", len(frame), len(payload))
		}
		got, p, err := parseFrame(frame)
		if err != nil || got != want || !bytes.Equal(p, payload) {
			t.Fatalf("got %+v %x, %v", got, p, err)
		}
		bit := rapid.IntRange(0, 8*len(frame)-1).Draw(t, "bit")
		frame[bit/8] ^= 1 << (bit % 8)
		if _, _, err := parseFrame(frame); err == nil {
			t.Fatalf("a frame with bit %d flipped was taken", bit)
		}
	})
}

// TestGeometry holds every chunk of a cut to tell the whole cut.
func TestGeometry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Uint64Range(0, 5000).Draw(t, "total")
		size := rapid.Uint64Range(1, 700).Draw(t, "size")
		want, err := cut(total, size)
		if err != nil {
			t.Fatal(err)
		}
		end := uint64(0)
		for i := range want.count {
			lo, hi := want.span(i)
			if lo != end || hi < lo {
				t.Fatalf("chunk %d is [%d, %d), the one before ends at %d", i, lo, hi, end)
			}
			end = hi
			g, err := header{index: i, total: total, offset: lo}.geometry(int(hi - lo))
			if err != nil || g.count != want.count || (g.count > 1 && g.size != size) {
				t.Fatalf("chunk %d of %+v tells %+v, %v", i, want, g, err)
			}
		}
		if end != total {
			t.Fatalf("%d bytes of %d are in chunks", end, total)
		}
	})
}

func TestGeometryRefuses(t *testing.T) {
	f := func(name string, h header, n int) {
		t.Helper()
		if g, err := h.geometry(n); err == nil {
			t.Errorf("%s: taken as %+v", name, g)
		}
	}
	f("longer than the message", header{total: 10}, 11)
	f("empty chunk", header{total: 10}, 0)
	f("first chunk with an offset", header{total: 10, offset: 5}, 5)
	f("index without offset", header{total: 10, index: 1}, 5)
	f("index beyond", header{total: 10, index: 2, offset: 10}, 0)
	f("ragged offset", header{total: 10, index: 2, offset: 7}, 3)
	f("too many chunks", header{total: 1 << 40}, 1)
	f("second chunk of nothing", header{index: 1, offset: 1}, 0)
	f("offset near overflow", header{total: 1<<64 - 1, index: 1, offset: 1<<64 - 2}, 1)
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(appendFrame(nil, header{kind: kindData, total: 5}, []byte("hello")))
	f.Add(appendFrame(nil, header{kind: kindAck, index: 3}, []byte{1}))
	f.Add(channelOf(secret(2), "j", 1, 1, 1).appendFrame(nil, header{kind: kindPing, session: 1},
		[]byte("hello")))
	f.Add(appendFrame(nil, header{kind: kindBye}, bye{code: byeFailed, rank: 1, text: "x"}.encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := parseFrame(b)
		if err == nil && h.counter == 0 && !bytes.Equal(appendFrame(nil, h, payload), b) {
			t.Errorf("%x is not what %+v encodes to", b, h)
		}
		if err == nil && h.counter != 0 {
			if !bytes.Equal(append(appendHeader(nil, h, 0), payload...), b) {
				t.Errorf("%x is not what %+v encodes to", b, h)
			}
			c := channelOf(secret(1), "j", 1, 0, 1)
			_, whole := c.openFrame(h, bytes.Clone(payload))
			if _, rest := c.openPayload(nil, h, payload); whole == nil || rest == nil ||
				c.openHeader(h, bytes.Clone(payload)) == nil {
				t.Errorf("%x was opened without the key", b)
			}
			return
		}
		_, _ = h.geometry(len(payload))
		if h, err := readHeader(b[:min(len(b), headerBytes)]); err == nil && h.counter == 0 {
			h, payload, err = parseFrame(appendFrame(nil, h, b))
			if err != nil {
				t.Errorf("%+v and %d bytes: %v", h, len(b), err)
			}
			_, _ = h.geometry(len(payload))
		}
		if bye, err := parseBye(b); err == nil && !bytes.Equal(bye.encode(), b) {
			t.Errorf("%x is not what %+v encodes to", b, bye)
		}
	})
}

func TestNumberSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 40
		s, added := numberSet{low: 1}, map[uint64]bool{}
		for range rapid.IntRange(0, n).Draw(t, "adds") {
			v := rapid.Uint64Range(1, n).Draw(t, "number")
			if !s.has(v) {
				s.add(v)
			}
			added[v] = true
		}
		for v := uint64(1); v <= n; v++ {
			if s.has(v) != added[v] {
				t.Fatalf("%d: %v, want %v", v, s.has(v), added[v])
			}
		}
		if uint64(len(s.beyond))+s.low-1 != uint64(len(added)) || added[s.low] {
			t.Fatalf("low %d and %d beyond for %v", s.low, len(s.beyond), added)
		}
	})
}
