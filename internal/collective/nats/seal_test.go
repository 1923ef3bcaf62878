package nats

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/collective"
)

// secret is a key that differs by a byte.
func secret(b byte) collective.Key { return collective.Key{b} }

// channelOf is what a rank of two has to the other one.
func channelOf(key collective.Key, job string, attempt, rank uint32, session uint64) *channel {
	return newKeyring(key, job, attempt, rank, session, 2).channel(1 - rank)
}

// TestSealedFrames opens what was sealed, and nothing else: no frame that was changed in any bit,
// cut, seen before, or is of another attempt, sender or session.
func TestSealedFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, payload := drawHeader(t)
		h.session |= 1
		a := channelOf(secret(1), "j", 7, 0, h.session)
		open := func(c *channel, frame []byte) error {
			h, sealed, err := parseFrame(bytes.Clone(frame))
			if err == nil {
				_, err = c.openFrame(h, sealed)
			}
			return err
		}
		refused := func(what string, c *channel, frame []byte) {
			t.Helper()
			if open(c, frame) == nil {
				t.Fatalf("%s was opened: %x", what, frame)
			}
		}

		frame := a.appendFrame([]byte("before"), h, payload)[len("before"):]
		other := a.appendFrame(nil, h, payload)
		b := channelOf(secret(1), "j", 7, 1, 5)
		bit := rapid.IntRange(0, 8*len(frame)-1).Draw(t, "bit")
		changed := bytes.Clone(frame)
		changed[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("a frame with bit %d flipped", bit), b, changed)
		refused("a part of a frame", b, frame[:rapid.IntRange(0, len(frame)-1).Draw(t, "part")])
		refused("a header with another frame's payload", b,
			append(bytes.Clone(frame[:headerBytes]), other[headerBytes:]...))
		refused("another key's frame", channelOf(secret(2), "j", 7, 1, 5), frame)
		refused("another job's frame", channelOf(secret(1), "k", 7, 1, 5), frame)
		refused("another attempt's frame", channelOf(secret(1), "j", 8, 1, 5), frame)
		refused("the own frame", a, frame)

		got, sealed, err := parseFrame(bytes.Clone(frame))
		if err != nil || got.kind != h.kind || got.tag != h.tag || got.total != h.total {
			t.Fatalf("%+v, %v; want %+v", got, err, h)
		}
		if plain, err := b.openFrame(got, sealed); err != nil || !bytes.Equal(plain, payload) {
			t.Fatalf("%x, %v; want %x", plain, err, payload)
		}
		refused("a frame that was there", b, frame)
		if err := open(b, other); err != nil {
			t.Fatalf("the next frame: %v", err)
		}
	})
}

// TestSealedParts is the same for a header that goes ahead of its payload.
func TestSealedParts(t *testing.T) {
	a := channelOf(secret(1), "j", 7, 0, 9)
	var heads [2]header
	var first, rest [2][]byte
	for i := range heads {
		h := header{kind: kindData, session: 9, index: uint32(i)}
		first[i], heads[i] = a.appendHeader(nil, h)
		rest[i] = a.sealPayload(nil, heads[i], []byte("payload"))
	}
	b := channelOf(secret(1), "j", 7, 1, 5)
	if _, err := b.openPayload(nil, heads[0], rest[0]); err == nil {
		t.Error("a payload was opened without its header")
	}
	if _, err := b.openFrame(heads[0], bytes.Clone(first[0][headerBytes:])); err == nil {
		t.Error("a header was taken for a frame without a payload")
	}
	for bit := range 8 * len(first[0]) {
		changed := bytes.Clone(first[0])
		changed[bit/8] ^= 1 << (bit % 8)
		h, err := readHeader(changed[:headerBytes])
		if err == nil && b.openHeader(h, changed[headerBytes:]) == nil {
			t.Errorf("a header with bit %d flipped was opened", bit)
		}
	}

	for i, h := range heads {
		if err := b.openHeader(h, first[i][headerBytes:]); err != nil {
			t.Fatal(err)
		}
		if err := b.openHeader(h, first[i][headerBytes:]); err == nil {
			t.Error("a header was opened twice")
		}
	}
	if _, err := b.openPayload(nil, heads[0], rest[1]); err == nil {
		t.Error("another frame's payload was opened")
	}
	if got, err := b.openPayload(nil, heads[1], rest[1]); err != nil || string(got) != "payload" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestNumbersAreUsedOnce seals by several goroutines, and for a bye after the transport's end.
func TestNumbersAreUsedOnce(t *testing.T) {
	a := channelOf(secret(1), "j", 7, 0, 9)
	const each, goroutines = 100, 4
	frames := make(chan []byte, 2*each*goroutines)
	for range goroutines {
		go func() {
			again := a.keys.channel(1)
			for range each {
				frames <- a.appendFrame(nil, header{kind: kindPing, session: 9}, nil)
				frames <- again.appendFrame(nil, header{kind: kindBye, session: 9}, nil)
			}
		}()
	}
	seen := map[uint64]bool{}
	for range cap(frames) {
		h, _, err := parseFrame(<-frames)
		if err != nil || seen[h.counter] {
			t.Fatalf("number %d twice, or %v", h.counter, err)
		}
		seen[h.counter] = true
	}
}

func TestReplayWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w replayWindow
		seen, top := map[uint64]bool{}, uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "frames") {
			low := top - min(top, 2*replayBits)
			n := rapid.Uint64Range(max(low, 1), top+replayBits*5/4).Draw(t, "number")
			fresh := !seen[n] && (n > top || top-n < replayBits-64)
			if got := w.add(n); got != fresh {
				t.Fatalf("%d with %d as the highest: %v", n, top, got)
			}
			if !w.has(n) {
				t.Fatalf("%d can be added again", n)
			}
			seen[n] = seen[n] || fresh
			top = max(top, n)
		}
	})
}
