package transporttest

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
)

// Attacker is somebody on the NATS server of an attempt, without the attempt's key. It hears all
// frames, and sends others that are made of them.
type Attacker struct {
	// Send publishes a frame on a subject, with a subject for answers.
	Send func(subject, reply string, frame []byte)

	rng   *rand.Rand
	sent  int
	mu    sync.Mutex
	heard []heard // the latest
}

// heard is a frame that was on its way.
type heard struct {
	subject, reply string
	frame          []byte
}

// NewAttacker returns one that has heard nothing.
func NewAttacker(seed uint64, send func(subject, reply string, frame []byte)) *Attacker {
	return &Attacker{Send: send, rng: rand.New(rand.NewPCG(seed, 3))}
}

// heardMax is how many frames an Attacker remembers.
const heardMax = 100

// Hear takes a frame. It may be called from any goroutine.
func (a *Attacker) Hear(subject, reply string, frame []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(frame) < frameHeader {
		return
	}
	a.heard = append(a.heard, heard{subject, reply, frame})
	if len(a.heard) > heardMax {
		a.heard = a.heard[1:]
	}
}

// During attacks until f has returned, and returns how many frames it has sent.
func (a *Attacker) During(f func()) int {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				a.attack()
			}
		}
	}()

	f()
	close(stop)
	<-ended
	return a.sent
}

// Kinds and places of fields in a frame, as package nats has them.
const (
	frameHeader = 88

	kindData, kindPing, kindBye = 1, 4, 5

	srcAt, dstAt, opAt, indexAt, sessionAt = 20, 24, 32, 36, 40
	messageAt, totalAt, offsetAt, sizeAt   = 56, 64, 72, 80
	sumAt                                  = 84
)

// attack sends one of everything that it can think of, made of two frames that it has heard.
func (a *Attacker) attack() {
	a.mu.Lock()
	all := slices.Clone(a.heard)
	a.mu.Unlock()
	if len(all) == 0 {
		return
	}

	m, other := all[a.rng.IntN(len(all))], all[a.rng.IntN(len(all))]
	a.harm(m, other.frame)
	a.end(m)
	a.lie(m)
}

func (a *Attacker) send(m heard, frame []byte) {
	a.Send(m.subject, m.reply, frame)
	a.sent++
}

// harm sends a frame again, changed in a bit, cut, with another one's payload, and to its sender.
func (a *Attacker) harm(m heard, other []byte) {
	a.send(m, m.frame)
	flipped := bytes.Clone(m.frame)
	flipped[a.rng.IntN(len(flipped))] ^= 1 << a.rng.IntN(8)
	a.send(m, flipped)
	a.send(m, m.frame[:a.rng.IntN(len(m.frame))])
	a.send(m, append(bytes.Clone(m.frame[:frameHeader]), other[frameHeader:]...))

	back := heard{m.reply, m.subject, m.frame}
	a.send(back, m.frame)
	turned := bytes.Clone(m.frame)
	copy(turned[srcAt:], m.frame[dstAt:dstAt+4])
	copy(turned[dstAt:], m.frame[srcAt:srcAt+4])
	a.send(back, turned)
}

// end sends what ends an attempt that believes it: a sign of life of another session, by which the
// sender seems to have started again, and byes.
func (a *Attacker) end(m heard) {
	restarted := func(f []byte) { f[sessionAt] ^= 0xff }
	a.send(m, forge(m.frame, kindPing, restarted, nil))
	f := bytes.Clone(m.frame)
	restarted(f)
	a.send(m, f)
	a.send(m, forge(m.frame, kindBye, func([]byte) {}, []byte{0, 0, 0, 0, 0}))
	a.send(m, forge(m.frame, kindBye, func([]byte) {}, []byte{2, 0, 0, 0, 0}))
}

// lie sends messages ahead of the right ones, and in their place.
func (a *Attacker) lie(m heard) {
	le, payload := binary.LittleEndian, bytes.Repeat([]byte{0xbd}, 512)
	for ahead := range uint32(4) {
		a.send(m, forge(m.frame, kindData, func(f []byte) {
			le.PutUint32(f[opAt:], le.Uint32(f[opAt:])+ahead)
			le.PutUint32(f[indexAt:], 0)
			le.PutUint64(f[messageAt:], le.Uint64(f[messageAt:])+uint64(ahead))
			le.PutUint64(f[totalAt:], uint64(len(payload)))
			le.PutUint64(f[offsetAt:], 0)
		}, payload))
	}
}

// forge makes a right frame of an attempt without a key, of the header of another frame.
func forge(like []byte, kind byte, change func(f []byte), payload []byte) []byte {
	f := append(bytes.Clone(like[:frameHeader]), payload...)
	f[4], f[5] = 1, kind
	clear(f[sizeAt:frameHeader])
	change(f)
	le := binary.LittleEndian
	le.PutUint32(f[sizeAt:], uint32(len(payload))) //nolint:gosec // small
	le.PutUint32(f[sumAt:], crc32.Checksum(f, crc32.MakeTable(crc32.Castagnoli)))
	return f
}
